"""Branches that shapes decide, by hand and as PyTorch writes them: ONNX Runtime on the original is the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from hwnas.errors import ModelError
from hwnas.onnx.model import model_of
from hwnas.onnx.read import has_branches
from tests.onnx_models import exported

pytestmark = pytest.mark.usefixtures("shapes_apart")

node = helper.make_node


def weight(name: str, value: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def branch(*nodes: NodeProto, gives: str, **weights: Any) -> GraphProto:
    held = [weight(name, value) for name, value in weights.items()]
    return helper.make_graph(list(nodes), "branch", [], [helper.make_empty_tensor_value_info(gives)], held)


def fork(condition: str, gives: str, then: GraphProto, other: GraphProto) -> NodeProto:
    return node("If", [condition], [gives], name=f"fork {gives}", then_branch=then, else_branch=other)


def size_is(value: str, axis: int, size: int, name: str) -> list[NodeProto]:
    """``name``: whether an axis of a value has that size, as exporters ask."""
    return [
        node("Shape", [value], [f"{name} shape"]),
        node("Constant", [], [f"{name} axis"], value=weight("", np.int64(axis))),
        node("Gather", [f"{name} shape", f"{name} axis"], [f"{name} size"]),
        node("Constant", [], [f"{name} wanted"], value=weight("", np.int64(size))),
        node("Equal", [f"{name} size", f"{name} wanted"], [name]),
    ]


def model(*nodes: NodeProto, shape: tuple[int | str, ...] = (1, 1, 4), **weights: Any) -> bytes:
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", [entry], [result], [weight(k, v) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def squeezed(channels: str) -> bytes:
    """A squeeze of axis 1 where that has size 1, else a sum with a weight; both branches name things alike."""
    axis = {"axes": np.int64([1])}
    return model(
        *size_is("x", 1, 1, "one"),
        fork(
            "one", "f",
            branch(node("Squeeze", ["x", "axes"], ["inner"]), node("Neg", ["inner"], ["out"]), gives="out", **axis),
            branch(node("Add", ["x", "inner"], ["out"]), gives="out", inner=np.float32(3)),
        ),
        node("Relu", ["f"], ["inner"]), node("Add", ["inner", "inner"], ["y"]), shape=(1, channels, 4),
    )  # fmt: skip


def same(data: bytes, shape: tuple[int, ...], **given: Any) -> None:
    opened = model_of(data, "net.onnx", **given)
    assert not has_branches(opened.proto)
    assert opened.outputs[0].shape
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    (ours,), (theirs,) = (ort.InferenceSession(each).run(None, {"x": x}) for each in (opened.data, data))
    assert opened.outputs[0].shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_branch_that_the_shape_takes(channels: int) -> None:
    same(squeezed("channels"), (1, channels, 4), shapes={"x": (1, channels, 4)})


@pytest.mark.parametrize("channels", [1, 2])
def test_branches_in_branches_and_behind_each_other(channels: int) -> None:
    """The second depends on a shape that is known when the first is gone."""
    deep = branch(
        *size_is("x", 2, 4, "four"),
        fork(
            "four", "out",
            branch(node("Mul", ["x", "two"], ["out"]), gives="out"), branch(node("Neg", ["x"], ["out"]), gives="out"),
        ),
        gives="out", two=np.float32(2),
    )  # fmt: skip
    squeeze = branch(node("Squeeze", ["x"], ["out"]), gives="out")
    rank = [
        node("Shape", ["a"], ["s"]), node("Size", ["s"], ["r"]), node("Equal", ["r", "three"], ["whole"]),
    ]  # fmt: skip
    exp, tanh = (branch(node(op, ["a"], ["out"]), gives="out") for op in ("Exp", "Tanh"))
    nodes = [*size_is("x", 1, 1, "one"), fork("one", "a", squeeze, deep), *rank, fork("whole", "y", exp, tanh)]
    same(model(*nodes, shape=(1, channels, 4), three=np.int64(3)), (1, channels, 4))


def test_what_is_outside_may_be_given_as_it_is() -> None:
    through = branch(node("Identity", ["x"], ["out"]), gives="out")
    same(model(fork("yes", "y", through, through), yes=np.array(True)), (1, 1, 4))


def test_a_normalization_as_pytorch_writes_it() -> None:
    """As the one of zfnet: behind a pool whose padding is computed."""
    data = exported(nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5, k=2.0)), torch.zeros(1, 3, 6, 6))
    proto = onnx.load_from_string(data)
    assert has_branches(proto)
    for each in proto.graph.node:
        each.input[:] = ["x" if name == proto.graph.input[0].name else name for name in each.input]
    proto.graph.input[0].name = "x"
    same(proto.SerializeToString(), (1, 3, 6, 6))


def test_one_that_depends_on_data_is_refused() -> None:
    whole = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Greater", ["s", "zero"], ["positive"])]
    passed = branch(node("Identity", ["x"], ["out"]), gives="out")
    data = model(*whole, fork("positive", "y", passed, passed), zero=np.float32(0))
    with pytest.raises(ModelError, match=r"net.onnx: node fork y \(If\) is control flow"):
        model_of(data, "net.onnx")


def test_what_a_branch_holds_is_checked() -> None:
    broken = branch(node("Add", ["x", "w"], ["out"]), gives="out", w=np.float32(np.nan))
    whole = branch(node("Identity", ["x"], ["out"]), gives="out")
    with pytest.raises(ModelError, match="its weight w has values that are NaN"):
        model_of(model(fork("yes", "y", broken, whole), yes=np.array(True)), "net.onnx")
    same(model(fork("no", "y", broken, whole), no=np.array(False)), (1, 1, 4))
    loop = branch(node("Loop", ["", ""], ["out"], name="round"), gives="out")
    with pytest.raises(ModelError, match=r"node round \(Loop\) is control flow"):
        model_of(model(fork("no", "y", loop, whole), no=np.array(False)), "net.onnx")
    nothing = branch(node("Add", ["x", "nowhere"], ["out"]), gives="out")
    with pytest.raises(ModelError, match="reads nowhere, which nothing gives"):
        model_of(model(fork("yes", "y", nothing, whole), yes=np.array(True)), "net.onnx")


def test_weights_of_a_branch_beside_the_file_stay_in_its_folder() -> None:
    passed = branch(node("Identity", ["w"], ["out"]), gives="out", w=np.zeros(4, np.float32))
    held = passed.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="../w.bin")
    data = model(fork("yes", "y", passed, passed), yes=np.array(True))
    with pytest.raises(ModelError, match="its weights lie in another file"):
        model_of(data, "net.onnx")
