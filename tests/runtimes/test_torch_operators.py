"""Each operator that runtime torch reads, against ONNX Runtime without its optimizations, on cases by hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import assume, currently_in_test_context, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from hwnas.arrays import Array
from hwnas.errors import ModelError
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.runtimes.torch import Torch
from tests.onnx_models import exported

CASES = settings(max_examples=30, deadline=None)
SIZES = st.integers(1, 6)
BOOLS = st.booleans()


def floats(shape: Any, seed: int = 0, least: float | None = None) -> Array:
    numbers = np.random.default_rng([seed, *shape]).standard_normal(tuple(shape)).astype(np.float32)
    return numbers if least is None else np.abs(numbers) + np.float32(least)


def built(
    op: str, inputs: dict[str, Array], known: dict[str, Array | None], opset: int, outputs: int, given: dict[str, Any]
) -> bytes:
    """One node that reads inputs and constants in the order of ``known``, in which None is left out."""
    names = ["" if value is None and name not in inputs else name for name, value in known.items()]
    node = helper.make_node(op, names, [f"y{index}" for index in range(outputs)], name="it", **given)
    entries = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in inputs.items()
    ]
    results = [helper.make_value_info(name, helper.make_tensor_type_proto(0, None)) for name in node.output]
    weights = [numpy_helper.from_array(value, name) for name, value in known.items() if value is not None]
    graph = helper.make_graph([node], "one", entries, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    for result in inferred.graph.output:
        result.type.tensor_type.elem_type = result.type.tensor_type.elem_type or TensorProto.FLOAT
    return bytes(inferred.SerializeToString())


def same(
    op: str, *inputs: Array, known: tuple[Array | None, ...] = (), opset: int = 17, outputs: int = 1,
    tolerance: float = 2e-5, **given: Any,
) -> None:  # fmt: skip
    """Whether both give the same for a node whose first inputs go into the model, and whose others are known."""
    named = {f"x{index}": each for index, each in enumerate(inputs)}
    read: dict[str, Array | None] = dict.fromkeys(named) | {f"k{index}": each for index, each in enumerate(known)}
    model = built(op, named, read, opset, outputs, given)
    try:
        expected = OnnxRuntime().load(model, threads=1, precision="fp32", as_is=True).run(inputs)
    except Exception:
        assert currently_in_test_context()
        assume(False)  # what ONNX Runtime itself can't do tells nothing
    found = Torch().load(model, threads=1, precision="fp32").run(inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if theirs.size:
            scale = max(float(np.abs(np.nan_to_num(theirs.astype(np.float64))).max()), 1.0)
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


@st.composite
def windows(draw: st.DrawFn, axes: int) -> dict[str, Any]:
    """Attributes of what goes over images."""
    found: dict[str, Any] = {
        "kernel_shape": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
        "strides": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
    }
    if draw(BOOLS):
        found["pads"] = draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes))
    elif draw(BOOLS):
        found["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    return found


@CASES
@given(data=st.data(), axes=st.integers(1, 3), group=st.sampled_from([1, 2]), bias=BOOLS)
def test_convolution(data: st.DataObject, axes: int, group: int, bias: bool) -> None:
    attributes = data.draw(windows(axes))
    if "auto_pad" not in attributes:
        attributes["dilations"] = data.draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    weight = floats((4, 4 // group, *attributes["kernel_shape"]), 1)
    shape = (2, 4, *data.draw(st.lists(st.integers(6, 9), min_size=axes, max_size=axes)))
    same("Conv", floats(shape), known=(weight, *([floats((4,), 2)] if bias else [])), group=group, **attributes)


@CASES
@given(data=st.data(), axes=st.integers(1, 2), group=st.sampled_from([1, 2]), alike=BOOLS)
def test_transposed_convolution(data: st.DataObject, axes: int, group: int, alike: bool) -> None:
    attributes = data.draw(windows(axes).filter(lambda made: "auto_pad" not in made))
    if alike and "pads" in attributes:
        attributes["pads"] = attributes["pads"][:axes] * 2
    strides = attributes["strides"]
    attributes["output_padding"] = [data.draw(st.integers(0, stride - 1)) for stride in strides]
    weight = floats((4, 3, *attributes["kernel_shape"]), 1)
    same(
        "ConvTranspose", floats((2, 4, *[5] * axes)), known=(weight, floats((3 * group,), 2)), group=group, **attributes
    )


@CASES
@given(data=st.data(), axes=st.integers(1, 3), kind=st.sampled_from(["MaxPool", "AveragePool"]), ceil=BOOLS)
def test_pools(data: st.DataObject, axes: int, kind: str, ceil: bool) -> None:
    attributes = data.draw(windows(axes))
    kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0] * 2 * axes)
    assume(all(pad < size for pad, size in zip(pads, kernel * 2, strict=True)))
    if kind == "AveragePool":
        attributes["count_include_pad"] = data.draw(st.integers(0, 1))
    alike = pads[:axes] == pads[axes:] and all(2 * pad <= size for pad, size in zip(pads, kernel * 2, strict=True))
    if ceil and alike and "auto_pad" not in attributes:
        attributes["ceil_mode"] = 1
    same(kind, floats((2, 3, *data.draw(st.lists(st.integers(6, 9), min_size=axes, max_size=axes)))), **attributes)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_global_pools(kind: str, axes: int) -> None:
    same(kind, floats((2, 3, *[4] * axes)))


@CASES
@given(
    turned=st.tuples(BOOLS, BOOLS),
    factors=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
    shift=st.sampled_from([None, (5,), (1,), (3, 5), ()]),
)
def test_gemm(turned: tuple[bool, bool], factors: tuple[float, float], shift: tuple[int, ...] | None) -> None:
    a, b = floats((4, 3) if turned[0] else (3, 4)), floats((5, 4) if turned[1] else (4, 5), 1)
    known = (b,) if shift is None else (b, floats(shift, 2))
    same("Gemm", a, known=known, transA=int(turned[0]), transB=int(turned[1]), alpha=factors[0], beta=factors[1])


@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 2)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4, 3))])
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    same("MatMul", floats(a), floats(b, 1))
    same("MatMul", floats(a), known=(floats(b, 1),))


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 5), (2, 4, 5, 3), (2, 4, 3, 2, 2)])
def test_normalisations(shape: tuple[int, ...]) -> None:
    scale, shift = floats((4,), 1), floats((4,), 2)
    same("BatchNormalization", floats(shape), known=(scale, shift, floats((4,), 3), floats((4,), 4, 0.5)), epsilon=1e-3)
    if len(shape) > 2:
        same("InstanceNormalization", floats(shape), known=(scale, shift), epsilon=1e-3)
        same("GroupNormalization", floats(shape), known=(floats((2,), 1), floats((2,), 2)), num_groups=2, opset=18)
        same("GroupNormalization", floats(shape), known=(scale, shift), num_groups=2, opset=21)
    for axis in (-1, 1):
        inner = shape[axis:]
        same("LayerNormalization", floats(shape), known=(floats(inner, 1), floats(inner, 2)), axis=axis)
        same("LayerNormalization", floats(shape), known=(floats(inner[-1:], 1),), axis=axis)


UNARY = {
    "Abs": {}, "Ceil": {}, "Cos": {}, "Dropout": {}, "Erf": {}, "Exp": {}, "Floor": {}, "HardSwish": {},
    "Identity": {}, "Mish": {"opset": 18}, "Neg": {}, "Relu": {}, "Round": {}, "Sigmoid": {}, "Sign": {},
    "Sin": {}, "Softplus": {}, "Softsign": {}, "Tanh": {}, "Celu": {"alpha": 0.7}, "Elu": {"alpha": 1.3},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "LeakyRelu": {"alpha": 0.2}, "Selu": {"alpha": 1.5, "gamma": 1.1},
    "ThresholdedRelu": {"alpha": 0.4},
}  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    same(op, floats((3, 7)), **UNARY[op])
    same(op, floats((2, 3, 4, 5)) * 3, **UNARY[op])
    same(op, floats((5,)), **{k: v for k, v in UNARY[op].items() if k == "opset"})


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal"])
def test_unary_of_positives(op: str) -> None:
    same(op, floats((3, 7), least=0.1))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    same("Gelu", floats((3, 7)), approximate=approximate, opset=20)


SHAPES = st.sampled_from([((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 3, 1), (1, 5)), ((), (3,)), ((3, 1), (1, 4))])


@CASES
@given(
    op=st.sampled_from(["Add", "Sub", "Mul", "Div"]),
    shapes=SHAPES,
    dtype=st.sampled_from(["float32", "int64", "int32", "float64"]),
    known=BOOLS,
)
def test_arithmetic(op: str, shapes: Any, dtype: str, known: bool) -> None:
    a = (floats(shapes[0]) * 9).astype(dtype)
    b = (floats(shapes[1], 1, 1.0) * 3).astype(dtype)
    same(op, a, known=(b,)) if known else same(op, a, b)


@CASES
@given(
    op=st.sampled_from(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]),
    shapes=SHAPES,
    dtype=st.sampled_from(["float32", "int64", "int32"]),
)
def test_comparisons(op: str, shapes: Any, dtype: str) -> None:
    same(op, np.round(floats(shapes[0])).astype(dtype), np.round(floats(shapes[1], 1)).astype(dtype))


@CASES
@given(op=st.sampled_from(["And", "Or", "Xor"]), shapes=SHAPES)
def test_logic(op: str, shapes: Any) -> None:
    a, b = floats(shapes[0]) > 0, floats(shapes[1], 1) > 0
    same(op, a, b)
    same("Not", a)
    same("Where", a, floats(shapes[0], 2), floats(shapes[1], 3))


@CASES
@given(shapes=SHAPES, fmod=BOOLS, dtype=st.sampled_from(["int64", "int32", "float32"]))
def test_powers_and_remainders(shapes: Any, fmod: bool, dtype: str) -> None:
    same("Pow", floats(shapes[0], least=0.1), floats(shapes[1], 1))
    same("Pow", (floats(shapes[0]) * 3).astype(np.int64), known=(np.int64(2),))
    same("Pow", floats(shapes[0]), known=(np.float32(2),))
    whole = (floats(shapes[0]) * 20).astype(dtype), (floats(shapes[1], 1, 1.0) * 3).astype(dtype)
    same("Mod", *whole, fmod=int(fmod or dtype == "float32"))


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_any_number(op: str, count: int) -> None:
    same(op, *(floats((2, 3), seed) for seed in range(count)))


@pytest.mark.parametrize("bounds", [(), (-0.5,), (None, 0.5), (-0.5, 0.5)])
def test_clip(bounds: tuple[float | None, ...]) -> None:
    same("Clip", floats((3, 7)), known=tuple(None if each is None else np.float32(each) for each in bounds))
    same("Clip", floats((3, 7)), opset=10, **dict(zip(("min", "max"), (-0.5, 0.5), strict=False)))


@pytest.mark.parametrize("slope", [(1,), (3, 1, 1), (3, 4, 5)])
def test_prelu(slope: tuple[int, ...]) -> None:
    same("PRelu", floats((2, 3, 4, 5)), known=(floats(slope, 1),))


KINDS = ["FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT32", "INT8", "UINT8", "BOOL"]


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float16"])
def test_cast(dtype: str, to: str) -> None:
    same("Cast", (floats((3, 5), least=0.1) * 9).astype(dtype), to=getattr(TensorProto, to))


REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]


@CASES
@given(data=st.data(), op=st.sampled_from(REDUCTIONS), keep=BOOLS, opset=st.sampled_from([11, 13, 18]))
def test_reductions(data: st.DataObject, op: str, keep: bool, opset: int) -> None:
    axes = data.draw(st.lists(st.integers(-3, 2), min_size=0, max_size=3, unique_by=lambda axis: axis % 3))
    x, as_input = floats((2, 3, 4), least=0.1), opset >= 18 or (op == "Sum" and opset >= 13)
    given = {} if as_input or not axes else {"axes": axes}
    known = (np.array(axes, np.int64),) if as_input and axes else ()
    same(f"Reduce{op}", x, known=known, opset=opset, keepdims=int(keep), **given)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceProd"])
def test_reductions_keep_the_dtype(op: str) -> None:
    same(op, (floats((2, 3)) * 5).astype(np.int32), keepdims=0)
    same("ReduceSum", floats((2, 3)), known=(np.array([], np.int64),), noop_with_empty_axes=1)


@CASES
@given(op=st.sampled_from(["Softmax", "LogSoftmax"]), axis=st.integers(-3, 2), opset=st.sampled_from([11, 13]))
def test_softmax(op: str, axis: int, opset: int) -> None:
    same(op, floats((2, 3, 4)), axis=axis, opset=opset)
    same(op, floats((2, 3, 4)), opset=opset)


@CASES
@given(axis=st.integers(-3, 2), keep=BOOLS, count=st.integers(1, 2), largest=BOOLS)
def test_places(axis: int, keep: bool, count: int, largest: bool) -> None:
    same("ArgMax", floats((2, 3, 4)), axis=axis, keepdims=int(keep))
    same("ArgMin", floats((2, 3, 4)), axis=axis, keepdims=int(keep))
    same("CumSum", floats((2, 3, 4)), known=(np.int64(axis),))
    same("TopK", floats((2, 3, 4)), known=(np.array([count]),), axis=axis, largest=int(largest), outputs=2)


@CASES
@given(data=st.data())
def test_slice(data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(-3, 2), min_size=1, max_size=3, unique_by=lambda axis: axis % 3))
    ends = st.sampled_from([-(2**31), -6, -5, -2, -1, 0, 1, 2, 3, 5, 2**31 - 1])
    starts, stops = (data.draw(st.lists(ends, min_size=len(axes), max_size=len(axes))) for _ in range(2))
    steps = data.draw(st.lists(st.sampled_from([1, 2, 3, -1, -2]), min_size=len(axes), max_size=len(axes)))
    # backwards to the largest integer is to the first for ONNX Runtime, and nowhere for ONNX
    assume(all(step > 0 or stop < 2**31 - 1 for stop, step in zip(stops, steps, strict=True)))
    known = tuple(np.array(each, np.int64) for each in (starts, stops, axes, steps))
    same("Slice", floats((4, 5, 3)), known=known)


@CASES
@given(axis=st.integers(-3, 2), shape=st.sampled_from([(), (2,), (2, 3)]), known=BOOLS)
def test_gather(axis: int, shape: tuple[int, ...], known: bool) -> None:
    index = np.random.default_rng(0).integers(-3, 3, shape)
    x = floats((4, 5, 3))
    same("Gather", x, known=(index,), axis=axis) if known else same("Gather", x, index, axis=axis)
    places = np.random.default_rng(1).integers(-3, 3, (2, 2, 2))
    same("GatherElements", x, places, axis=axis)


@pytest.mark.parametrize("shape", [(0, -1), (2, 6, 10), (-1,), (0, 0, 0, 1), (4, 0, -1)])
def test_reshape(shape: tuple[int, ...]) -> None:
    same("Reshape", floats((4, 5, 6)), known=(np.array(shape),))


@pytest.mark.parametrize("axis", range(-3, 4))
def test_flatten(axis: int) -> None:
    same("Flatten", floats((2, 3, 4)), axis=axis)


@pytest.mark.parametrize("opset", [11, 17])
def test_squeeze_and_unsqueeze(opset: int) -> None:
    axes = np.array([0, -2])
    given, known = ({"axes": axes.tolist()}, ()) if opset < 13 else ({}, (axes,))
    same("Unsqueeze", floats((2, 3)), known=known, opset=opset, **given)
    same("Squeeze", floats((1, 3, 1, 2)), known=known, opset=opset, **given)
    same("Squeeze", floats((1, 3, 1, 2)), opset=opset)


@pytest.mark.parametrize("perm", [None, (0, 2, 1), (2, 0, 1)])
def test_moving(perm: tuple[int, ...] | None) -> None:
    same("Transpose", floats((2, 3, 4)), **({} if perm is None else {"perm": perm}))
    same("Tile", floats((2, 3, 4)), known=(np.array([1, 2, 3]),))
    same("Concat", floats((2, 3)), floats((2, 4), 1), known=(floats((2, 1), 2),), axis=-1)
    for upper in (0, 1):
        same("Trilu", floats((4, 5)), upper=upper)
        same("Trilu", floats((4, 5)), known=(np.int64(-1),), upper=upper)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1), (3, 1), (5, 1, 3, 4)])
def test_expand(shape: tuple[int, ...]) -> None:
    same("Expand", floats((3, 1)), known=(np.array(shape),))


def test_split() -> None:
    same("Split", floats((4, 6)), axis=1, outputs=3)
    same("Split", floats((4, 6)), known=(np.array([1, 5]),), axis=-1, outputs=2)
    same("Split", floats((4, 7)), axis=1, outputs=3, opset=18, num_outputs=3)
    same("Split", floats((4, 6)), axis=1, outputs=2, opset=11, split=[2, 4])


@CASES
@given(data=st.data(), mode=st.sampled_from(["constant", "reflect", "edge"]), axes=st.integers(1, 4))
def test_pad(data: st.DataObject, mode: str, axes: int) -> None:
    pads = data.draw(st.lists(st.integers(-1 if mode == "constant" else 0, 2), min_size=2 * axes, max_size=2 * axes))
    value = (np.float32(1.5),) if mode == "constant" and data.draw(BOOLS) else ()
    same("Pad", floats([4] * axes), known=(np.array(pads), *value), mode=mode)


def test_pad_of_some_axes() -> None:
    same("Pad", floats((2, 3, 4)), known=(np.array([1, 0, 2, 1]), np.float32(0), np.array([0, -1])), opset=18)
    same("Pad", floats((2, 3, 4)), opset=10, pads=[0, 1, 0, 0, 1, 2], value=0.5)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space(mode: str) -> None:
    same("DepthToSpace", floats((2, 12, 3, 4)), blocksize=2, mode=mode)
    same("SpaceToDepth", floats((2, 3, 4, 6)), blocksize=2)


@CASES
@given(
    mode=st.sampled_from(["nearest", "linear"]),
    rule=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    rounding=st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scale=st.sampled_from([None, (2.0, 2.0), (0.5, 2.0), (1.5, 3.0)]),
)
def test_resize(mode: str, rule: str, rounding: str, size: tuple[int, int], scale: tuple[float, float] | None) -> None:
    known: tuple[Array | None, ...] = (None, None, np.array((2, 3, *size)))
    if scale is not None:
        known = (None, np.array((1.0, 1.0, *scale), np.float32))
    attributes = {"nearest_mode": rounding} if mode == "nearest" else {}
    same(
        "Resize",
        floats((2, 3, 4, 6)),
        known=known,
        mode=mode,
        coordinate_transformation_mode=rule,
        tolerance=1e-4,
        **attributes,
    )


def test_a_pool_that_pytorch_hasnt_is_named() -> None:
    with pytest.raises(ModelError, match=r"can't read node it \(MaxPool\): it rounds its size up, and pads as"):
        same("MaxPool", floats((1, 2, 6, 6)), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1)


def test_einsum() -> None:
    same("Einsum", floats((2, 3, 4)), floats((2, 4, 5), 1), equation="bij,bjk->bik")


def chain(*nodes: onnx.NodeProto, x: Array, batch: int | str | None = None, **weights: Array) -> bytes:
    shape = x.shape if batch is None else (batch, *x.shape[1:])
    graph = helper.make_graph(
        list(nodes), "chain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_value_info("y", helper.make_tensor_type_proto(0, None))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def shapes_of_x() -> tuple[onnx.NodeProto, ...]:
    """As exporters write x.reshape(x.shape[0], x.shape[1] * 2, -1)."""
    return (
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"], axis=0),
        helper.make_node("Slice", ["shape", "one", "two"], ["c"]),
        helper.make_node("Constant", [], ["factor"], value_ints=[2]),
        helper.make_node("Mul", ["c", "factor"], ["c2"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "c2", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    )


PLACES = {
    "zero": np.int64(0),
    "one": np.array([1]),
    "two": np.array([2]),
    "axis": np.array([0]),
    "rest": np.array([-1]),
}


def test_shapes_are_known_beforehand() -> None:
    model = chain(*shapes_of_x(), x=floats((2, 3, 4)), **PLACES)
    session = Torch().load(model, threads=1, precision="fp32")
    assert session.run([floats((2, 3, 4))])[0].shape == (2, 6, 2)
    calls = [node.op for node in session.module.graph.nodes]  # type: ignore[attr-defined]
    assert calls == ["placeholder", "call_function", "output"]


def test_a_size_that_is_open_is_named_with_the_node_that_needs_it() -> None:
    model = chain(*shapes_of_x(), x=floats((2, 3, 4)), batch="batch", **PLACES)
    with pytest.raises(ModelError, match=r"can't read node 0 \(Shape\): it needs a size that the model leaves open"):
        Torch().load(model, threads=1, precision="fp32")


def test_an_open_batch_stays_open() -> None:
    nodes = (
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Reshape", ["flat", "target"], ["back"]),
        helper.make_node("Softmax", ["back"], ["y"]),
    )
    session = Torch().load(
        chain(*nodes, x=floats((2, 3, 4)), batch="batch", target=np.array([0, 3, 4])), threads=1, precision="fp32"
    )
    for batch in (1, 2, 5):
        assert session.run([floats((batch, 3, 4))])[0].shape == (batch, 3, 4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_float32_alone_is_computed_in_the_precision(precision: str) -> None:
    nodes = (
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Cast", ["product"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Cast", ["whole"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "weight"], ["y"]),
    )
    weight = np.eye(4, dtype=np.float32)
    runtime = Torch()
    try:
        session = runtime.load(chain(*nodes, x=floats((2, 4)), weight=weight), threads=1, precision=precision)
    except ModelError as refused:
        pytest.skip(str(refused))
    (found,) = session.run([8 * floats((2, 4))])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.trunc(8 * floats((2, 4))), atol=1 if precision == "bf16" else 0)


class _Small(nn.Module):
    """Of what exporters write in several nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.norm, self.up = nn.GroupNorm(2, 8), nn.Upsample(scale_factor=2, mode="bilinear")
        self.attend, self.last = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 5)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.up(self.norm(self.stem(images)))
        tokens = self.attend(functional.adaptive_avg_pool2d(x, 4).flatten(2).transpose(1, 2))
        return self.last(tokens.mean(1)), x[:, ::2, 1:-1].roll(1, 2)


def test_what_pytorch_exports_comes_back() -> None:
    torch.manual_seed(0)
    module, images = _Small().eval(), torch.randn(1, 3, 16, 16)
    session = Torch().load(exported(module, images), threads=1, precision="fp32")
    with torch.inference_mode():
        for found, expected in zip(session.run([images.numpy()]), module(images), strict=True):
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile passes its include folder to g++ unquoted")
@pytest.mark.xdist_group("compiler")
def test_compiled_computes_the_same() -> None:
    nodes = (
        helper.make_node("Slice", ["x", "one", "two", "one"], ["part"]),
        helper.make_node("Concat", ["x", "part"], ["both"], axis=1),
        helper.make_node("Split", ["both", "sizes"], ["a", "b"], axis=1),
        helper.make_node("MatMul", ["a", "weight"], ["c"]),
        helper.make_node("Add", ["c", "b"], ["y"]),
    )
    model = chain(
        *nodes, x=floats((2, 3, 4)), one=np.array([1]), two=np.array([2]), sizes=np.array([3, 1]), weight=floats((4, 4))
    )
    x = floats((2, 3, 4))
    eager, compiled = (Torch({"mode": mode}).load(model, threads=1, precision="fp32") for mode in ("eager", "compiled"))
    np.testing.assert_allclose(compiled.run([x])[0], eager.run([x])[0], atol=1e-5)
