"""Whatever is given as MODEL, to whichever verb: one line, exit 2, nothing half-written."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.cli.run import Shell
from tests.tables.make_kernels import table

VERBS = {
    "count": ["count"],
    "profile": ["profile", "-o", "table.yaml"],
    "bench": ["bench"],
    "predict": ["predict", "--table", "board.json"],
    "table show": ["table", "show", "board.json", "--per-layer"],
    "diff": ["diff", "right.onnx"],
    "export": ["export", "--target", "onnx-fp32", "-o", "artifact"],
}
MODELS = {
    "net.tflite": "is a TFLite model, not an ONNX model",
    "page.onnx": "is an HTML page, not an ONNX model",
    "weights.pt": "is a zip archive (as PyTorch's .pt files are), not an ONNX model",
    "weights.pkl": "is a Python pickle, not an ONNX model",
    "empty.onnx": "is empty, not an ONNX model",
    "cut.onnx": "is not an ONNX model, or one cut short",
    "custom.onnx": "node y (Magic) is a custom operator of acme",
    "branch.onnx": "node y (Loop) is control flow",
    "open.onnx": "its input x is 1xchannels; fix the sizes, as --shape x=1x224",
    "nan.onnx": "its weight w has values that are NaN",
    "beside.onnx": "its weight w lies at '../w.bin'; weights are read from the model's own folder only",
    "future.onnx": "is of ONNX's opset 99, the ONNX Runtime here reads up to",
    "absent.onnx": "No such file",
    "no_such_module:build": "there is no module no_such_module",
    "own_of_test_bad_models.py:failing": "calling it raised RuntimeError: no weights here",
    "own_of_test_bad_models.py:pair": "gives a tuple; name a function that returns an nn.Module alone",
}


def _net(*, op: str = "Mul", domain: str = "", opset: int = 17, channels: int | str = 3) -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, channels))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(3, np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    nan, beside = _net(), _net()
    nan.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([1, np.nan, 1]), "w"))
    weight = beside.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../w.bin")
    for name, model in {
        "right.onnx": _net(), "custom.onnx": _net(op="Magic", domain="acme"), "branch.onnx": _net(op="Loop"),
        "open.onnx": _net(channels="channels"), "nan.onnx": nan, "beside.onnx": beside, "future.onnx": _net(opset=99),
    }.items():  # fmt: skip
        Path(name).write_bytes(model.SerializeToString())
    table({"Mul": 0.1}).save("board.json")
    Path("net.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    Path("page.onnx").write_text("<!DOCTYPE html><html>")
    with zipfile.ZipFile("weights.pt", "w") as archive:
        archive.writestr("data.pkl", b"")
    Path("weights.pkl").write_bytes(pickle.dumps({}))
    Path("empty.onnx").touch()
    Path("cut.onnx").write_bytes(_net().SerializeToString()[:-5])
    Path("own_of_test_bad_models.py").write_text(
        "from torch import nn\ndef failing():\n    raise RuntimeError('no weights here')\n"
        "def pair():\n    return nn.ReLU(), nn.ReLU()\n"
    )
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_one_line(hwnas: Shell, folder: Path, verb: str) -> None:
    before = sorted(folder.iterdir())
    for model, says in MODELS.items():
        assert says in hwnas.refused(*VERBS[verb], model), model
    assert sorted(path for path in folder.iterdir() if path.name != "__pycache__") == before
