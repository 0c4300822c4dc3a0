"""The formats of hwnas: the contract, and what is their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.artifacts.export import export_network
from hwnas.artifacts.formats.base import FORMATS, Format, get_format
from hwnas.artifacts.formats.onnx import OnnxFormat
from hwnas.errors import RuntimeMissingError
from hwnas.flow.bench import bench
from hwnas.nn.network import Network
from hwnas.profiling.timer import Effort
from hwnas.space.chain import ChainSpace
from hwnas.testing import FormatContract


class TestOnnx(FormatContract):
    runtime = "onnxruntime"
    precisions = ("fp32", "int8")

    @pytest.fixture
    def kind(self) -> Format:
        return get_format("onnx")


def test_names() -> None:
    assert FORMATS.names()[:4] == ("onnx", "openvino", "tensorrt", "tensorrt-rtx")
    with pytest.raises(RuntimeMissingError, match="no format 'tvm'; known: onnx, openvino, "):
        get_format("tvm")


TARGET = """
schema: hwnas-target/1
format: foreign
precision: fp32
runtime: onnxruntime
tolerance: {relative: 1.0e-4, top1: 0.999}
"""


def test_an_artifact_with_files_of_a_package_that_isnt_here(
    small_space: ChainSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of it is benched."""
    (tmp_path / "foreign.yaml").write_text(TARGET)
    with monkeypatch.context() as patched:
        patched.setitem(FORMATS._built_in, "foreign", OnnxFormat)
        network = Network(small_space, [1] * small_space.num_layers).eval()
        artifact = export_network(network, ["onnx-fp32", str(tmp_path / "foreign.yaml")], tmp_path / "artifact")
    found = bench([artifact], effort=Effort(rounds=2, runs_per_round=1, warmup_runs=1, at_least_s=0, at_most_s=0))
    assert [row.target for row in found.results] == ["onnx-fp32"]
    (lacking,) = found.lacking
    assert "no format 'foreign'" in lacking.lacks
