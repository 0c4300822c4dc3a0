"""Pooling, BN, gates and padding: the same numbers, and what is left is what runtimes like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from hwnas.errors import CountError
from hwnas.onnx.optimize.batchnorm import fold_batchnorm
from hwnas.onnx.optimize.gates import gather_gates, spread_gates
from hwnas.onnx.optimize.groups import groups_before, merge_groups, without_merging
from hwnas.onnx.optimize.padding import pad_channels, shapes_before, without_padding
from hwnas.onnx.optimize.pads import pads_into_convolutions
from hwnas.onnx.optimize.pooling import global_average_pool
from tests.onnx.optimize.graphs import check, images, kinds, model_of, run

X = images(2, 6, 4, 5)


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_over_all_pixels_is_a_pooling(opset: int, axes: list[int], keepdims: int) -> None:
    shown: dict[str, Any] = {"keepdims": keepdims} | ({"axes": axes} if opset < 18 else {})
    constants = {} if opset < 18 else {"axes": np.array(axes, np.int64)}
    model = model_of([("ReduceMean", ["x", *constants], "y", shown)], constants, X.shape, opset=opset)
    assert set(check(global_average_pool, model, X)) == {"GlobalAveragePool"} | ({"Flatten"} if not keepdims else set())


@pytest.mark.parametrize("axes", [[1], [1, 2, 3], [3]])
def test_a_mean_over_other_axes_stays(axes: list[int]) -> None:
    assert global_average_pool(model_of([("ReduceMean", ["x"], "y", {"axes": axes})], {}, X.shape, opset=13)) is None
    assert global_average_pool(model_of([("ReduceMean", ["x"], "y", {})], {}, X.shape, opset=18)) is None


def test_an_average_of_the_whole_plane() -> None:
    def pool(**attributes: Any) -> Any:
        return model_of([("AveragePool", ["x"], "y", attributes)], {}, X.shape)

    assert check(global_average_pool, pool(kernel_shape=[4, 5]), X) == {"GlobalAveragePool": 1}
    assert global_average_pool(pool(kernel_shape=[4, 4])) is None
    assert global_average_pool(pool(kernel_shape=[4, 5], pads=[1, 1, 1, 1])) is None


@settings(deadline=None)
@given(
    kind=st.sampled_from(["Conv", "ConvTranspose", "Gemm"]), groups=st.sampled_from([1, 2, 3]), bias=st.booleans(),
    transposed=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_batchnorm_goes_into_its_layer(kind: str, groups: int, bias: bool, transposed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    constants = {"beta": normal(6), "mean": normal(6), "gamma": normal(6), "var": np.abs(normal(6)) + np.float32(0.1)}
    attributes: dict[str, Any] = {"group": groups}
    if kind == "Gemm":
        attributes = {"transB": int(transposed), "beta": 0.5}
        constants["w"] = normal(6, 4) if transposed else normal(4, 6)
    else:
        constants["w"] = normal(6, 6 // groups, 3, 3)
    if bias:
        constants["b"] = normal(6)
    x = normal(2, 4) if kind == "Gemm" else X
    layer = (kind, ["x", "w", *(["b"] if bias else [])], "l", attributes)
    model = model_of(
        [layer, ("BatchNormalization", ["l", "gamma", "beta", "mean", "var"], "y", {})], constants, x.shape
    )
    assert check(fold_batchnorm, model, x) == {kind: 1}


def test_batchnorm_stays_behind_what_others_read_or_share() -> None:
    constants = {name: np.ones(6, np.float32) for name in ("gamma", "beta", "mean", "var")}
    constants["w"] = images(6, 6, 1, 1)
    norm = ("BatchNormalization", ["l", "gamma", "beta", "mean", "var"], "n", {"epsilon": 0.01})
    read = [("Conv", ["x", "w"], "l", {}), norm, ("Add", ["n", "l"], "y", {})]
    assert fold_batchnorm(model_of(read, constants, X.shape)) is None
    shared = [("Conv", ["x", "w"], "l", {}), norm, ("Conv", ["n", "w"], "y", {})]
    assert check(fold_batchnorm, model_of(shared, constants, X.shape), X) == {"Conv": 2}


def squeezed(width: int, squeeze: int, *, seed: int = 0, batch: int | str = 2) -> Any:
    """An inverted bottleneck with squeeze-and-excitation and a residual."""
    shapes = {
        "w1": (width, 6, 1, 1), "b1": (width,), "w2": (width, 1, 3, 3), "b2": (width,), "ws": (squeeze, width, 1, 1),
        "bs": (squeeze,), "we": (width, squeeze, 1, 1), "be": (width,), "w3": (6, width, 1, 1), "wo": (4, 6, 1, 1),
    }  # fmt: skip
    constants = {name: images(*shape, seed=seed + i, scale=0.7) for i, (name, shape) in enumerate(shapes.items())}
    parts: Any = [
        ("Conv", ["x", "w1", "b1"], "e", {}), ("HardSwish", ["e"], "ea", {}),
        ("Conv", ["ea", "w2", "b2"], "d", {"group": width, "pads": [1] * 4}), ("Sigmoid", ["d"], "da", {}),
        ("GlobalAveragePool", ["da"], "p", {}), ("Conv", ["p", "ws", "bs"], "s", {}), ("Relu", ["s"], "sa", {}),
        ("Conv", ["sa", "we", "be"], "g", {}), ("HardSigmoid", ["g"], "ga", {}), ("Mul", ["da", "ga"], "m", {}),
        ("Conv", ["m", "w3"], "r", {}), ("Add", ["x", "r"], "a", {}), ("Conv", ["a", "wo"], "y", {}),
    ]  # fmt: skip
    return model_of(parts, constants, [batch, 6, 4, 5])


@pytest.mark.parametrize("batch", [2, "batch"])
def test_a_gate_is_spread_and_gathered_again(batch: int | str) -> None:
    model = squeezed(10, 3, batch=batch)
    assert check(spread_gates, model, X)["Resize"] == 1
    spread = spread_gates(model)
    assert spread
    gathered = gather_gates(spread.model)
    assert gathered
    assert [n.SerializeToString() for n in gathered.model.graph.node] == [
        n.SerializeToString() for n in model.graph.node
    ]
    assert gather_gates(model) is None


def test_products_that_are_no_gates_stay() -> None:
    for shape in ((1, 1, 4, 5), (6, 1, 1)):
        model = model_of([("Mul", ["x", "k"], "y", {})], {"k": images(*shape)}, X.shape)
        assert spread_gates(model) is None


@settings(deadline=None)
@given(width=st.integers(1, 20), squeeze=st.integers(1, 9), block=st.sampled_from([4, 8, 16]), seed=st.integers(0, 9))
def test_padding_keeps_the_function_and_can_be_undone(width: int, squeeze: int, block: int, seed: int) -> None:
    model = squeezed(width, squeeze, seed=seed)
    if (found := pad_channels(model, block)) is None:
        assert width % block == squeeze % block == 0
        return
    check(lambda each: pad_channels(each, block), model, X)
    for weight in found.model.graph.initializer:
        if weight.name in ("w1", "b1", "w2", "be"):
            assert weight.dims[0] % block == 0
    before = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    plain = without_padding(found.model, {name: array.shape for name, array in before.items()})
    assert {w.name: numpy_helper.to_array(w).tolist() for w in plain.graph.initializer} == {
        name: array.tolist() for name, array in before.items()
    }
    np.testing.assert_array_equal(run(plain, X), run(model, X))


@settings(deadline=None)
@given(width=st.sampled_from([2, 3, 4, 8]), groups=st.integers(2, 6), bias=st.booleans(), seed=st.integers(0, 9))
def test_groups_are_merged_to_blocks(width: int, groups: int, bias: bool, seed: int) -> None:
    channels = width * groups
    constants = {"w": images(channels, 6, 1, 1, seed=seed), "v": images(channels, width, 3, 3, seed=seed + 1)}
    constants |= {"u": images(4, channels, 1, 1, seed=seed + 2)} | ({"b": images(channels)} if bias else {})
    parts: Any = [
        ("Conv", ["x", "w"], "c", {}), ("Relu", ["c"], "ca", {}),
        ("Conv", ["ca", "v", *(["b"] if bias else [])], "d", {"group": groups, "pads": [1] * 4}),
        ("Relu", ["d"], "da", {}), ("Conv", ["da", "u"], "y", {}),
    ]  # fmt: skip
    model = model_of(parts, constants, X.shape)
    merged, padded = merge_groups(model, 8), pad_channels(model, 8)
    fits = width < 8 and any(groups % n == 0 and n * width % 8 == 0 for n in range(1, groups + 1))
    assert bool(merged) == fits
    if merged:
        check(lambda each: merge_groups(each, 8), model, X)
        assert all(w.dims[1] % 8 == 0 for w in merged.model.graph.initializer if w.name == "v")
        assert groups_before(model, merged.model) == {"v": groups}
        assert shapes_before(model, merged.model) == {}
        assert weights(without_merging(merged.model, {"v": groups})) == weights(model)
    if padded and width in (2, 4):  # a block is whole groups
        check(lambda each: pad_channels(each, 8), model, X)
        check(lambda each: merge_groups(each, 8), padded.model, X)
        plain = without_padding(padded.model, shapes_before(model, padded.model))
        np.testing.assert_array_equal(run(plain, X), run(model, X))
        both = merge_groups(padded.model, 8)
        assert both
        restored = without_merging(both.model, groups_before(model, both.model))
        restored = without_padding(restored, shapes_before(model, both.model))
        assert weights(restored) == weights(model)
        np.testing.assert_array_equal(run(restored, X), run(model, X))
    assert (padded is None) == (channels % 8 == 0 or -channels % 8 % width != 0)


def weights(model: Any) -> dict[str, Any]:
    return {each.name: numpy_helper.to_array(each).tolist() for each in model.graph.initializer}


def test_what_lies_between_merged_groups_must_be_zero() -> None:
    constants = {"w": images(4, 6, 1, 1), "v": images(4, 2, 3, 3), "u": images(4, 4, 1, 1)}
    parts: Any = [("Conv", ["x", "w"], "c", {}), ("Conv", ["c", "v"], "d", {"group": 2}), ("Conv", ["d", "u"], "y", {})]
    found = merge_groups(model_of(parts, constants, X.shape), 4)
    assert found
    with pytest.raises(CountError, match="can't have been made of 3 groups"):
        without_merging(found.model, {"v": 3})
    forged = next(each for each in found.model.graph.initializer if each.name == "v")
    array = numpy_helper.to_array(forged).copy()
    array[0, 3, 0, 0] = 1e-20
    forged.CopyFrom(numpy_helper.from_array(array, "v"))
    with pytest.raises(CountError, match="v of the exported graph isn't zero between its 2 groups"):
        without_merging(found.model, {"v": 2})


def test_depthwise_convolutions_are_no_groups_to_merge() -> None:
    model = model_of([("Conv", ["x", "w"], "y", {"group": 6})], {"w": images(6, 1, 3, 3)}, X.shape)
    assert merge_groups(model, 2) is None


@pytest.mark.parametrize("own", [{}, {"pads": [1, 0, 0, 2]}])
@pytest.mark.parametrize("value", [[], [np.float32(0)]])
def test_zeros_around_a_convolution(own: dict[str, Any], value: list[Any]) -> None:
    constants = {"p": np.array([0, 0, 0, 1, 0, 0, 2, 1], np.int64), "w": images(3, 6, 3, 3)}
    constants |= {"v": value[0]} if value else {}
    parts: Any = [("Pad", ["x", "p", *(["v"] if value else [])], "a", {}), ("Conv", ["a", "w"], "y", own)]
    assert check(pads_into_convolutions, model_of(parts, constants, X.shape), X) == {"Conv": 1}


@pytest.mark.parametrize(
    ("pads", "attributes", "conv", "value"),
    [
        ([0, 1, 0, 0, 0, 0, 0, 0], {}, {}, 0),  # channels
        ([0, 0, -1, 0, 0, 0, 0, 0], {}, {}, 0),
        ([0, 0, 1, 1, 0, 0, 1, 1], {"mode": "reflect"}, {}, 0),
        ([0, 0, 1, 1, 0, 0, 1, 1], {}, {"auto_pad": "SAME_UPPER"}, 0),
        ([0, 0, 1, 1, 0, 0, 1, 1], {}, {}, 1),
    ],
)
def test_other_pads_stay(pads: list[int], attributes: dict[str, Any], conv: dict[str, Any], value: int) -> None:
    constants = {"p": np.array(pads, np.int64), "w": images(3, 6 + pads[1], 1, 1), "v": np.float32(value)}
    parts: Any = [("Pad", ["x", "p", "v"], "a", attributes), ("Conv", ["a", "w"], "y", conv)]
    assert pads_into_convolutions(model_of(parts, constants, X.shape)) is None


def test_a_pad_that_a_pooling_reads_stays() -> None:
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "w": images(3, 6, 1, 1)}
    parts: Any = [
        ("Pad", ["x", "p"], "a", {}), ("MaxPool", ["a"], "m", {"kernel_shape": [3, 3], "pads": [1] * 4}),
        ("Conv", ["a", "w"], "c", {}), ("Conv", ["m", "w"], "d", {}), ("Add", ["c", "d"], "y", {}),
    ]  # fmt: skip
    assert pads_into_convolutions(model_of(parts, constants, X.shape)) is None


def test_what_ends_in_something_else_is_not_padded() -> None:
    parts: Any = [("Conv", ["x", "w"], "c", {}), ("Flatten", ["c"], "y", {})]
    assert pad_channels(model_of(parts, {"w": images(5, 6, 1, 1)}, X.shape), 8) is None
    grouped: Any = [("Conv", ["x", "w"], "c", {}), ("Conv", ["c", "v"], "y", {"group": 3})]  # 3 to 2 channels
    constants = {"w": images(9, 6, 1, 1), "v": images(6, 3, 1, 1)}
    assert pad_channels(model_of(grouped, constants, X.shape), 8) is None


def test_padding_that_is_not_zero_is_told() -> None:
    model = squeezed(10, 3)
    found = pad_channels(model, 8)
    assert found
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    forged = next(weight for weight in found.model.graph.initializer if weight.name == "w2")
    array = numpy_helper.to_array(forged).copy()
    array[-1, 0, 1, 1] = 1e-20
    forged.CopyFrom(numpy_helper.from_array(array, "w2"))
    with pytest.raises(CountError, match=r"w2.*holds 1 numbers where its padding has to be zero"):
        without_padding(found.model, shapes)
    with pytest.raises(CountError, match="no constant other"):
        without_padding(found.model, {"other": (1,)})
    with pytest.raises(CountError, match="zeros can't have made of"):
        without_padding(found.model, {"w1": (99, 6, 1, 1)})


def test_two_convolutions_may_share_a_weight() -> None:
    parts: Any = [
        ("Conv", ["x", "w", "b"], "c", {}), ("Relu", ["c"], "ca", {}), ("Conv", ["ca", "w", "b"], "d", {}),
        ("GlobalAveragePool", ["d"], "p", {}), ("Conv", ["p", "v"], "y", {}),
    ]  # fmt: skip
    constants = {"w": images(6, 6, 1, 1), "b": np.zeros(6, np.float32), "v": images(2, 6, 1, 1)}
    model = model_of(parts, constants, X.shape)
    assert kinds(model) == check(lambda each: pad_channels(each, 8), model, X)
