"""A target's files are loaded in a process of its own: what hangs, crashes or isn't the arch does no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.artifacts.check import check_artifact
from hwnas.records.artifact import Finding
from tests.artifacts.conftest import Copy
from tests.artifacts.faults import crashing


def checked(path: Path, limit_s: int = 300) -> dict[str, Finding]:
    return {finding.about: finding for finding in check_artifact(path, limit_s=limit_s).checks}


def looping(path: Path) -> bytes:
    """The model, its logits added to 0 so many times that nobody sees the end."""
    model = onnx.load(path)
    (logits,) = model.graph.output
    node = next(node for node in model.graph.node if logits.name in node.output)
    node.output[:] = ["once"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("before", "after")]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "on")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Neg", ["before"], ["after"])],
        "body",
        [helper.make_tensor_value_info("index", TensorProto.INT64, []), flags[0], values[0]],
        [flags[1], values[1]],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62), "trips"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("Loop", ["trips", "yes", "once"], [logits.name], body=body))
    return model.SerializeToString()


def test_a_graph_that_isnt_the_arch_isnt_run(copy: Copy) -> None:
    copy.replace("onnx-fp32.onnx", looping(copy.path / "onnx-fp32.onnx"))
    copy.rewrite()
    found = checked(copy.path)
    assert found["onnx-fp32: structure"].passed is False
    for what in ("parity", "precision"):
        assert found[f"onnx-fp32: {what}"] == Finding(
            about=f"onnx-fp32: {what}", passed=None, text="not run: its structure is wrong"
        )
    assert found["openvino-fp32: parity"].passed is True


def test_what_lies_beside_a_file_says_nothing_of_it(copy: Copy) -> None:
    (copy.path / "README.md").write_text("better")
    found = checked(copy.path)
    assert [each.about for each in found.values() if each.passed is False] == ["README.md"]
    assert found["onnx-fp32: parity"].passed
    assert found["openvino-fp32: parity"].passed


def test_what_never_ends_is_stopped(copy: Copy, tmp_path: Path) -> None:
    """Its layers are the arch's, so only running it tells."""
    (tmp_path / "loop.onnx").write_bytes(looping(copy.path / "onnx-fp32.onnx"))
    ov.save_model(ov.Core().read_model(tmp_path / "loop.onnx"), tmp_path / "loop.xml", compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        copy.replace(f"openvino-fp32{suffix}", (tmp_path / f"loop{suffix}").read_bytes())
    copy.rewrite()
    found = checked(copy.path, limit_s=3)
    assert found["openvino-fp32"].passed is False
    assert "took longer than 3 s and was stopped" in found["openvino-fp32"].text


def test_a_crash_stays_in_its_own_process(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is checked as ever."""
    copy.edit(lambda manifest: manifest["files"].reverse())
    copy.rewrite()
    crashing("openvino", tmp_path, monkeypatch)
    found = checked(copy.path)
    assert found["openvino-fp32"].passed is False
    assert "ends with SIGSEGV" in found["openvino-fp32"].text
    assert found["onnx-fp32: parity"].passed is True


def test_nothing_is_imported_from_where_one_is(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks at an artifact may be in a folder that came with it."""
    for name in ("numpy", "onnx", "json", "hwnas"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the folder')")
    monkeypatch.chdir(tmp_path)
    assert checked(copy.path)["onnx-fp32: parity"].passed is True
