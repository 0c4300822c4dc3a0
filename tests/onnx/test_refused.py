"""ONNX files that are wrong, odd or hostile: one line that names what and where; and odd ones that are right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.errors import ModelError
from hwnas.onnx.infer import shape_inference
from hwnas.onnx.model import model_of, read_model
from hwnas.onnx.refused import newest_opset
from hwnas.runtimes.onnxruntime import OnnxRuntime

pytestmark = pytest.mark.usefixtures("shapes_apart")

node = helper.make_node
FLOAT = TensorProto.FLOAT


def graph_of(
    *nodes: NodeProto,
    opset: int = 17,
    inputs: dict[str, Any] | None = None,
    weights: dict[str, np.ndarray] | None = None,
) -> ModelProto:
    entries = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in (inputs or {"x": (1, 3)}).items()]
    held = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", entries, [helper.make_tensor_value_info("y", FLOAT, None)], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def changed(change: Callable[[ModelProto], object], *nodes: NodeProto) -> ModelProto:
    model = graph_of(*(nodes or [node("Relu", ["x"], ["y"], name="act")]))
    change(model)
    return model


def _typed(kind: onnx.TypeProto) -> Callable[[ModelProto], object]:
    return lambda model: model.graph.input[0].type.CopyFrom(kind)


def _sparse(model: ModelProto) -> None:
    values, indices = (numpy_helper.from_array(np.ones(1, kind), "w") for kind in (np.float32, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))


def beside(location: str, **more: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


ADD = node("Add", ["x", "w"], ["y"], name="sum")
CONV = node("Conv", ["x", "w"], ["y"], name="c")
WRONG = {
    "opset": (graph_of(node("Relu", ["x"], ["y"]), opset=99), "opset 99, the ONNX Runtime here reads up to 2"),
    "no opset": (changed(lambda m: m.ClearField("opset_import")), "doesn't say which opset"),
    "operator": (changed(lambda m: None, node("Relo", ["x"], ["y"])), r"node y \(Relo\) is no operator of ONNX; did"),
    "sequence": (
        changed(lambda m: None, node("SplitToSequence", ["x"], ["s"]), node("SequenceAt", ["s", "i"], ["y"])),
        r"node s \(SplitToSequence\) is of sequences",
    ),
    "text": (changed(lambda m: None, node("StringNormalizer", ["x"], ["y"])), "is of sequences, optional values"),
    "sequence input": (
        changed(_typed(helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, (1,))))), "x is a sequence"
    ),
    "optional input": (
        changed(_typed(helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, (1,))))), "x is an optional"
    ),
    "no type": (changed(lambda m: m.graph.input[0].ClearField("type")), "x is of no type"),
    "text input": (changed(_typed(helper.make_tensor_type_proto(TensorProto.STRING, (1,)))), "x holds text"),
    "fp8 input": (changed(_typed(helper.make_tensor_type_proto(TensorProto.FLOAT8E5M2, (1,)))), "holds values float8"),
    "type 99": (changed(_typed(helper.make_tensor_type_proto(99, (1,)))), "holds values of no type"),
    "zero": (graph_of(node("Relu", ["x"], ["y"]), inputs={"x": (1, 0)}), "its input x is 1x0, which holds nothing"),
    "zero batch": (graph_of(node("Relu", ["x"], ["y"]), inputs={"x": (0, 3)}), "0x3, which holds nothing"),
    "negative": (graph_of(node("Relu", ["x"], ["y"]), inputs={"x": (1, -3)}), "its input x is 1x-3"),
    "no rank": (graph_of(node("Relu", ["x"], ["y"]), inputs={"x": None}), "of no shape; fix .*x=1x3x224x224"),
    "sparse": (changed(_sparse), "sparse weights"),
    "absent": (graph_of(ADD), r"node sum \(Add\) reads w, which nothing gives"),
    "cycle": (
        graph_of(node("Add", ["x", "b"], ["a"], name="first"), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])),
        r"node first \(Add\) reads b, which a node behind it gives: a cycle",
    ),
    "twice given": (graph_of(node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])), "gives y, which is there already"),
    "twice an input": (changed(lambda m: m.graph.input.append(m.graph.input[0])), "x is there twice"),
    "output": (graph_of(node("Relu", ["x"], ["z"])), "nothing gives its output y"),
    "nan": (graph_of(ADD, weights={"w": np.float32([1, np.nan, 2])}), "weight w has values that are NaN"),
    "infinite": (
        graph_of(CONV, inputs={"x": (1, 1, 4)}, weights={"w": np.full((1, 1, 1), np.inf, np.float16)}),
        "weight w has values that are infinite",
    ),
    "short weight": (
        changed(
            lambda m: m.graph.initializer.append(TensorProto(name="w", data_type=FLOAT, dims=[3], raw_data=b"12")),
            ADD,
        ),
        "weight w holds fewer numbers than its shape has",
    ),
    "external": (
        changed(lambda m: m.graph.initializer.append(beside("w.bin")), ADD), "its weights lie in another file"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refused(name: str) -> None:
    model, says = WRONG[name]
    with pytest.raises(ModelError, match=f"^net.onnx.*{says}"):
        model_of(model.SerializeToString(), "net.onnx")


def test_even_how_many_sizes_there_are_may_be_left_open() -> None:
    model = graph_of(node("Relu", ["x"], ["y"]), inputs={"x": None})
    assert model_of(model.SerializeToString(), "net.onnx", {"x": (2, 5)}).outputs[0].shape == (2, 5)


def test_masks_may_be_infinite() -> None:
    model_of(graph_of(ADD, weights={"w": np.float32([0, -np.inf, 0])}).SerializeToString(), "net.onnx")


def test_the_newest_opset_is_what_onnx_runtime_takes() -> None:
    for opset, taken in ((newest_opset(), True), (newest_opset() + 1, False)):
        data = graph_of(node("Relu", ["x"], ["y"]), opset=opset).SerializeToString()
        try:
            OnnxRuntime().load(model_of(data, "net.onnx").data, threads=1, precision="fp32")
        except ModelError:
            assert not taken
        else:
            assert taken


def test_a_newer_ir_version_is_read_as_an_older_one() -> None:
    model = changed(lambda m: setattr(m, "ir_version", 99))
    data = model_of(model.SerializeToString(), "net.onnx").data
    session = OnnxRuntime().load(data, threads=1, precision="fp32")
    assert session.run([np.float32([[-1, 0, 2]])])[0].tolist() == [[0, 0, 2]]


def test_functions_of_the_file_are_written_out() -> None:
    double = helper.make_function(
        "acme", "Double", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    model = graph_of(node("Double", ["x"], ["y"], domain="acme"))
    model.functions.append(double)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    opened = model_of(model.SerializeToString(), "net.onnx")
    assert [each.op_type for each in opened.proto.graph.node] == ["Add"]
    assert opened.outputs[0].shape == (1, 3)
    del double.node[:]
    double.node.append(node("Loop", ["a", "", "a"], ["b"], name="inner"))
    model.functions[0].CopyFrom(double)
    with pytest.raises(ModelError, match=r"node inner \(Loop\) is control flow"):
        model_of(model.SerializeToString(), "net.onnx")


def test_a_function_that_calls_itself_stays_in_its_own_process() -> None:
    model = graph_of(node("Again", ["x"], ["y"], domain="acme"))
    again = helper.make_function(
        "acme", "Again", ["a"], ["b"], [node("Again", ["a"], ["b"], domain="acme")], [helper.make_opsetid("acme", 1)]
    )
    model.functions.append(again)
    model.opset_import.append(helper.make_opsetid("acme", 1))
    with pytest.raises(ModelError, match=r"^net.onnx"):
        model_of(model.SerializeToString(), "net.onnx")


def test_subgraphs_that_lie_deep() -> None:
    inner = helper.make_graph([node("Relu", ["x"], ["y"])], "g", [], [helper.make_tensor_value_info("y", FLOAT, (1,))])
    for _ in range(25):
        inner = helper.make_graph(
            [node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["x"], ["z"], inner=inner)], "g", [], inner.output
        )
    model = graph_of(*inner.node)
    model.graph.node.append(node("Custom", ["x"], ["q"], domain="acme", inner=model.graph))
    with pytest.raises(ModelError, match=r"node q \(Custom\) is a custom operator|is not an ONNX model"):
        model_of(model.SerializeToString(), "net.onnx")


def test_shapes_that_take_for_ever() -> None:
    doubled = [node("Concat", [f"s{i}", f"s{i}"], [f"s{i + 1}"], axis=0) for i in range(40)]
    model = graph_of(node("Shape", ["x"], ["s0"]), *doubled, node("Cast", ["s40"], ["y"], to=FLOAT))
    began = time.monotonic()
    with (
        shape_inference(limit_s=2) as add_shapes,
        pytest.raises(ModelError, match=r"net.onnx: to infer its shapes takes longer than 2 s"),
    ):
        add_shapes(model, "net.onnx")
    assert time.monotonic() - began < 20


def test_a_few_bytes_that_are_millions_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.onnx.wire.MOST_PARTS", 8_000)
    nodes = b"\x0a\x00" * 8_000
    data = b"\x3a" + bytes([len(nodes) & 127 | 128, len(nodes) >> 7]) + nodes
    assert len(onnx.load_from_string(data).graph.node) == 8_000
    with pytest.raises(ModelError, match=r"net.onnx is made of more than 8,000 parts"):
        model_of(data, "net.onnx")


def test_other_than_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path, says in (
        (tmp_path / "pipe.onnx", "a named pipe"),
        (tmp_path, "a folder"),
        (tmp_path / "n", "No such file"),
    ):
        with pytest.raises(ModelError, match=f"can't read .*{says}"):
            read_model(path)


def test_a_file_of_more_than_2_gb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"has 2.1 GB; a model of more than 2 GB isn't taken"):
        read_model(path)
    assert time.monotonic() - began < 1


class TestWeightsBeside:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        (folder / "parts").mkdir(parents=True)
        for path in (folder / "w.bin", folder / "parts" / "w.bin", tmp_path / "w.bin"):
            path.write_bytes(b"1234" + np.float32([1, 2, 3]).tobytes())
        (folder / "out.bin").symlink_to(tmp_path / "w.bin")
        (folder / "in.bin").symlink_to(folder / "w.bin")
        os.mkfifo(folder / "pipe")
        with open(folder / "huge.bin", "wb") as file:
            file.truncate(2**32)
        return folder

    def read(self, folder: Path, tensor: TensorProto) -> ModelProto:
        model = changed(lambda m: m.graph.initializer.append(tensor), ADD)
        (folder / "net.onnx").write_bytes(model.SerializeToString())
        return read_model(folder / "net.onnx").proto

    @pytest.mark.parametrize("location", ["w.bin", "./w.bin", "parts/w.bin", "in.bin"])
    def test_in_the_folder(self, folder: Path, location: str) -> None:
        (weight,) = self.read(folder, beside(location, offset="4", length="12")).graph.initializer
        assert numpy_helper.to_array(weight).tolist() == [1, 2, 3]
        assert not weight.external_data

    @pytest.mark.parametrize(
        ("location", "more", "says"),
        [
            ("../w.bin", {}, "weight w lies at '../w.bin'; weights are read from the model's own folder only"),
            ("parts/../../w.bin", {}, "own folder only"),
            ("/etc/passwd", {}, "own folder only"),
            ("", {}, "own folder only"),
            ("out.bin", {}, "behind a link out of the model's folder"),
            ("none.bin", {}, "can't read .*none.bin: No such file"),
            ("parts", {}, "a folder"),
            ("pipe", {}, "a named pipe"),
            ("w.bin", {"offset": "5"}, "is said to be bytes 5 to 17 of .*w.bin, which has 16"),
            ("w.bin", {"offset": "-4"}, "bytes -4 to 8"),
            ("w.bin", {"offset": "four"}, "doesn't say how many bytes"),
            ("w.bin", {"length": "11"}, "has 12 bytes, and 11 of"),
        ],
    )
    def test_refused(self, folder: Path, location: str, more: dict[str, str], says: str) -> None:
        with pytest.raises(ModelError, match=says):
            self.read(folder, beside(location, **more))

    def test_more_than_2_gb_are_refused_unread(self, folder: Path) -> None:
        tensor = beside("huge.bin")
        tensor.dims[:] = [2**30]
        began = time.monotonic()
        with pytest.raises(ModelError, match=r"its weights have 4.3 GB; a model of more than 2 GB isn't taken"):
            self.read(folder, tensor)
        assert time.monotonic() - began < 1


def test_a_crash_stays_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\nif 'hwnas.onnx.infer' in sys.orig_argv:\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"^net.onnx: a process that infers its shapes ends with SIGSEGV$"):
        model_of(graph_of(node("Relu", ["x"], ["y"])).SerializeToString(), "net.onnx")
