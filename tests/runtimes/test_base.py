"""The walk over a model's bytes, held against the ONNX package; and what the driver's tool says of a GPU."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ModelError, first_line
from hwnas.nn.released import load_scarlet
from hwnas.onnx.wire import check_self_contained
from hwnas.runtimes.base import nvidia_gpu
from tests.onnx_models import onnx_of


def external() -> TensorProto:
    tensor = numpy_helper.from_array(np.arange(3, dtype=np.float32), "elsewhere")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return tensor


def model_of(nodes: list[onnx.NodeProto], weights: list[TensorProto]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    return helper.make_model(helper.make_graph(nodes, "g", [value], [value], weights))


def in_a_constant() -> onnx.ModelProto:
    return model_of([helper.make_node("Constant", [], ["c"], value=external())], [])


def in_a_branch() -> onnx.ModelProto:
    branch = helper.make_graph([], "b", [], [], [external()])
    return model_of([helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], [])


def in_a_function() -> onnx.ModelProto:
    model = model_of([], [])
    node = helper.make_node("Constant", [], ["c"], value=external())
    model.functions.append(helper.make_function("d", "f", [], ["c"], [node], [helper.make_opsetid("", 20)]))
    return model


def sparse() -> onnx.ModelProto:
    model = model_of([], [])
    indices = numpy_helper.from_array(np.arange(3), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(external(), indices, [9]))
    return model


@pytest.mark.parametrize(
    "make", [in_a_constant, in_a_branch, in_a_function, sparse, lambda: model_of([], [external()])]
)
def test_finds_data_elsewhere_wherever_it_is_named(make: object) -> None:
    with pytest.raises(ModelError, match="weights lie in another file; save it with its weights inside"):
        check_self_contained(make().SerializeToString())  # type: ignore[operator]


def test_whole_models_pass() -> None:
    model = onnx_of(load_scarlet("scarlet-c", resolution=32), (3, 32, 32))
    check_self_contained(model)
    weight = numpy_helper.from_array(np.arange(3, dtype=np.float32), "here")
    weight.data_location = TensorProto.DEFAULT
    weight.doc_string = "x" * 300
    check_self_contained(
        model_of([helper.make_node("Constant", [], ["c"], value=weight)], [weight]).SerializeToString()
    )


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        check_self_contained(data)


def test_deep_nesting_is_refused() -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    data = node.SerializeToString()
    for _ in range(2000):  # node in graph in attribute in node, and so on
        for tag in (b"\x0a", b"\x32", b"\x2a"):
            data = tag + _varint(len(data)) + data
    with pytest.raises(ModelError, match="not an ONNX model"):
        check_self_contained(b"\x3a" + _varint(len(data) + 10) + b"\x0a" + _varint(len(data)) + data)


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_never_passes_what_onnx_finds_external_data_in(data: st.DataObject) -> None:
    """A model with one byte changed: if the ONNX package still reads external data there, so does the walk."""
    original = bytearray(in_a_branch().SerializeToString())
    original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    try:
        model = onnx.load_from_string(bytes(original))
    except Exception:
        return
    tensors = onnx.external_data_helper._get_all_tensors(model)
    try:
        found = any(onnx.external_data_helper.uses_external_data(tensor) for tensor in tensors)
    except Exception:
        return
    if found:
        with pytest.raises(ModelError):
            check_self_contained(bytes(original))


def test_first_line() -> None:
    assert first_line(ValueError("\n  what is wrong \n where")) == "what is wrong"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 1000))) == 300


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'NVIDIA RTX A2000, 8.6'; echo 'Other, 9.0'", ("NVIDIA RTX A2000", "86")),
        ("echo 'NVIDIA GB10, Rev, 12.1'", ("NVIDIA GB10, Rev", "121")),
        ("echo 'no devices were found'; exit 6", None),
    ],
)
def test_gpu(script: str, expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert nvidia_gpu() == expected


def test_no_gpu_without_the_drivers_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_gpu() is None
