"""Anyone's ONNX file: what is taken, and what is said of what isn't."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.arrays import Port
from hwnas.errors import ModelError
from hwnas.onnx.model import model_of, read_model

pytestmark = pytest.mark.usefixtures("shapes_apart")


def relu(
    shape: tuple[int | str | None, ...], node: onnx.NodeProto | None = None, dtype: int = TensorProto.FLOAT
) -> bytes:
    graph = helper.make_graph(
        [node or helper.make_node("Relu", ["x"], ["y"], name="act")],
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_sizes_that_a_file_leaves_open_are_fixed() -> None:
    model = model_of(relu(("batch", 3, "height", "width")), "net.onnx", {"x": (2, 3, 8, 9)})
    assert model.inputs == (Port("x", "float32", (2, 3, 8, 9)),)
    assert model.outputs == (Port("y", "float32", (2, 3, 8, 9)),)


def test_a_batch_that_is_left_open_is_one() -> None:
    assert model_of(relu(("batch", 3, 8, 9)), "net.onnx").outputs[0].shape == (1, 3, 8, 9)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({}, "fix the sizes, as --shape x=1x3x224x224"),
        ({"x": (1, 4, 8, 8)}, "its input x is n x3xhxw, not 1x4x8x8".replace("n x", "nx")),
        ({"x": (1, 3, 8)}, "not 1x3x8"),
        ({"x": (1, 3, 0, 8)}, "not 1x3x0x8"),
        ({"images": (1, 3, 8, 8)}, "no input 'images'"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        model_of(relu(("n", 3, "h", "w")), "net.onnx", shapes)


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("data.pkl", b"")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\x1c\0\0\0TFL3" + bytes(40), "TFLite"),
        (pickle.dumps({"model_state": {}}), "pickle"),
        (_zip(), "zip archive"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b'<?xml version="1.0"?><net/>', "XML"),
        (b"hello", "not an ONNX model"),
        (relu((1, 2))[:-9], "not an ONNX model"),
    ],
)
def test_other_files_are_called_what_they_are(data: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=f"^net.onnx is.*{says}"):
        model_of(data, "net.onnx")


def test_operators_that_nobody_has_are_named() -> None:
    node = helper.make_node("Magic", ["x"], ["y"], name="spell", domain="org.acme")
    with pytest.raises(ModelError, match=r"node spell \(Magic\) is a custom operator of org.acme"):
        model_of(relu((1, 3), node), "net.onnx")


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["b"])], "b", [], [helper.make_empty_tensor_value_info("b")]
    )
    node = helper.make_node("If", ["x"], ["y"], name="fork", then_branch=branch, else_branch=branch)
    with pytest.raises(ModelError, match=r"node fork \(If\) is control flow"):
        model_of(relu((1,), node, TensorProto.BOOL), "net.onnx")


def test_a_weight_that_is_also_listed_as_an_input_is_no_input(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = onnx.load_from_string(relu((1, 3), helper.make_node("Mul", ["x", "w"], ["y"])))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    path = tmp_path / "old.onnx"
    path.write_bytes(model.SerializeToString())
    assert [port.name for port in read_model(path).inputs] == ["x"]
