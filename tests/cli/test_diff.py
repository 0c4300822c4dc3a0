"""``hwnas diff``: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.run import Shell
from tests.flow.diff_models import Chain


@pytest.fixture
def files(tmp_path: Path) -> Path:
    chain = Chain(3)
    for name, data in (
        ("a", chain.onnx()),
        ("renamed", chain.onnx(prefix="x.", folded=True)),
        ("faulty", chain.onnx(filters={1: 2})),
        ("half", chain.onnx(filters={2: 3e4}, dtype=np.float16)),
        ("large", chain.onnx(filters={2: 3e4})),
    ):
        (tmp_path / f"{name}.onnx").write_bytes(data)
    return tmp_path


def test_the_same(hwnas: Shell, files: Path) -> None:
    found = hwnas("diff", files / "a.onnx", files / "renamed.onnx", "--all")
    assert (found.status, found.err) == (0, "")
    lines = found.out.splitlines()
    assert lines[0].endswith("a.onnx, fp32, node by node; 3 values without a counterpart")
    assert lines[1].endswith("renamed.onnx, fp32, node by node; each value has a counterpart")
    assert lines[-1] == "the same (allowed 1e-04)"
    assert any("Conv x.conv0 (a: BatchNormalization norm0)" in line for line in lines)


def test_another(hwnas: Shell, files: Path) -> None:
    found = hwnas("diff", files / "a.onnx", files / "faulty.onnx")
    assert found.status == 1
    assert "faulty.onnx differ from Conv conv1 on" in found.err
    assert "first over the tolerance: Conv conv1" in found.out
    assert found.out.splitlines()[-1].startswith("  computed of Relu act0, differs by 0.0e+00")
    assert hwnas("diff", files / "a.onnx", files / "faulty.onnx", "--tolerance", "0.999").status in (0, 1)


def test_as_json(hwnas: Shell, files: Path) -> None:
    found = hwnas("diff", files / "large.onnx", files / "half.onnx", "--json")
    assert found.status == 1
    assert (found.json["same"], found.json["relative"]) == (False, 0.02)
    assert found.json["first"]["b"] == {"value": "conv2", "node": "conv2", "op": "Conv", "finite": False}
    assert found.json["b"]["first_not_finite"] == found.json["first"]["b"]
    assert found.json["a"]["first_not_finite"] is None


def test_the_runtime_as_the_difference(hwnas: Shell, files: Path) -> None:
    found = hwnas("diff", files / "a.onnx", files / "a.onnx", "--runtime-b", "onnxruntime", "--json")
    assert found.status == 0
    assert found.json["b"]["runtime"] == "onnxruntime"
    assert "FusedConv" in {value["b"]["op"] for value in found.json["values"]}


def test_wrong_input(hwnas: Shell, files: Path) -> None:
    assert "can't read" in hwnas.refused("diff", files / "a.onnx", files / "none.onnx")
    (files / "page.onnx").write_text("<html></html>")
    assert "HTML" in hwnas.refused("diff", files / "page.onnx", files / "a.onnx")
    assert "no runtime 'x'" in hwnas.refused("diff", files / "a.onnx", files / "a.onnx", "--runtime-a", "x")
    assert "share" in hwnas.refused("diff", files / "a.onnx", files / "a.onnx", "--tolerance", "2")
