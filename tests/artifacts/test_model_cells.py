"""`bench` of somebody's own ONNX file: every runtime in one table, held against the graph as it is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from torch import nn

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.cells import Loaded
from hwnas.artifacts.first_run import FirstRun, first_run
from hwnas.artifacts.model_cells import ModelCell, ModelLoader
from hwnas.errors import ConfigError, HwnasError, ModelError, RuntimeMissingError
from hwnas.flow.bench import bench
from hwnas.onnx.model import model_of, read_model
from hwnas.onnx.precision.int8 import ONNXRUNTIME, quantize, random_feeds
from hwnas.profiling.timer import Effort
from hwnas.records.bench import BenchRecord
from tests.artifacts.faults import crashing
from tests.cli.run import Shell
from tests.onnx_models import graph_model, onnx_of

EFFORT = Effort(rounds=3, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)
RNG = np.random.default_rng(0)


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """(ids, mask) -> scores and lengths; batch and length are open."""
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["embedded"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["embedded", "column"], ["masked"]),
        helper.make_node("MatMul", ["masked", "weight"], ["scores"]),
        helper.make_node("ReduceSum", ["ids"], ["lengths"], keepdims=0),
    ]
    model = graph_model(
        nodes, {"ids": np.ones((1, 4), np.int64), "mask": np.ones((1, 4), np.float32)}, ["scores", "lengths"],
        words=RNG.standard_normal((50, 8)).astype(np.float32), last=np.array([2]),
        weight=RNG.standard_normal((8, 3)).astype(np.float32),
    )  # fmt: skip
    proto = onnx.load_from_string(model)
    for entry in proto.graph.input:
        entry.type.tensor_type.shape.dim[1].dim_param = "length"
    path = tmp_path / "text.onnx"
    onnx.save(proto, path)
    return path


def test_one_table_of_all_runtimes_asked_for(text: Path) -> None:
    found = bench(text, shapes={"ids": (2, 5), "mask": (2, 5)}, runtimes=("onnxruntime", "openvino"), effort=EFFORT)
    told = {(row.target, row.runtime): row for row in found.results}
    assert {("fp32", "onnxruntime"), ("fp32", "openvino")} <= told.keys()
    for row in told.values():
        assert (row.artifact, row.batch, row.bytes > 0) == (str(text), 2, True)
        assert row.parity is not None
        assert row.parity.max_relative <= (1e-5 if row.precision == "fp32" else 3e-2)
        assert row.parity.top1_agreement is None
        assert (row.memory_mb is None) == (not Path("/proc/self/status").exists())
    assert told["fp32", "onnxruntime"].precisions == {"fp32": 1}
    assert told["fp32", "openvino"].precisions == {"fp32": 1}
    assert found.fastest[0].p50_ms == min(row.p50_ms for row in found.results)


def test_the_command_line_prints_the_same(text: Path, hwnas: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Effort.__init__, "__defaults__", tuple(asdict(EFFORT).values()))
    words = ("bench", text, "--shape", "ids=1x5", "--shape", "mask=1x5", "--runtime", "onnxruntime")
    printed = hwnas(*words)
    assert printed.status == 0
    assert printed.out.splitlines()[1].split()[:4] == ["fp32", "onnxruntime", "1", "1"]
    (row,) = BenchRecord.of_plain(hwnas(*words, "--json").json, "bench").results
    assert (row.target, row.precision, row.runtime) == ("fp32", "fp32", "onnxruntime")


def test_a_runtime_that_crashes_is_a_line_with_its_reason(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    crashing("openvino", tmp_path, monkeypatch)
    found = bench(text, shapes={"ids": (1, 5), "mask": (1, 5)}, runtimes=("onnxruntime", "openvino"), effort=EFFORT)
    assert [row.runtime for row in found.results] == ["onnxruntime"]
    assert {(cell.runtime, cell.lacks) for cell in found.lacking} == {
        ("openvino", "a process that runs it ends with SIGSEGV")
    }


def test_a_quantized_model_is_run_in_int8(tmp_path: Path) -> None:
    plain = onnx_of(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)), (3, 8, 8))
    (tmp_path / "int8.onnx").write_bytes(quantize(plain, random_feeds(plain), ONNXRUNTIME))
    found = bench(tmp_path / "int8.onnx", runtimes=("onnxruntime", "openvino"), effort=EFFORT)
    assert {(row.precision, *row.precisions) for row in found.results} == {("int8", "int8")}
    assert {row.runtime for row in found.results} == {"onnxruntime", "openvino"}


def test_what_a_model_has_no_use_for_is_refused(text: Path, tmp_path: Path, hwnas: Shell) -> None:
    fixed: dict[str, Any] = {"shapes": {"ids": (1, 5), "mask": (1, 5)}}
    with pytest.raises(ConfigError, match="batch is in its shapes, such as --shape images=8x3x224x224"):
        bench(text, **fixed, batches=(8,))
    with pytest.raises(ConfigError, match="only models are given"):
        bench(text, **fixed, table=tmp_path / "table.yaml")
    with pytest.raises(RuntimeMissingError, match="no runtime 'onnxruntim'; did you mean 'onnxruntime'"):
        bench(text, **fixed, runtimes=("onnxruntim",))
    with pytest.raises(HwnasError, match="its input ids is 1xlength; fix the sizes"):
        bench(text)
    assert "isn't NAME=SIZExSIZE" in hwnas.refused("bench", text, "--shape", "ids=1xn")
    assert "is a Python pickle" in hwnas.refused("bench", _written(tmp_path / "model.pt", b"\x80\x02}q."))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _loaded(monkeypatch: pytest.MonkeyPatch, right: tuple[np.ndarray, ...], given: tuple[np.ndarray, ...]) -> Loaded:
    """A cell whose graph gives what is ``right``, and whose runtime what is ``given``."""
    nodes = [helper.make_node("Relu", ["x"], [name]) for name in "yz"[: len(right)]]
    model = model_of(graph_model(nodes, {"x": np.ones((1, 2), np.float32)}, list("yz"[: len(right)])), "m")

    def run(*_: Any, as_is: bool = False, **__: Any) -> FirstRun:
        return FirstRun(prepared=model.data, outputs=right if as_is else given, memory_mb=None)

    monkeypatch.setattr("hwnas.artifacts.model_cells.first_run", run)
    return ModelLoader().load(ModelCell(model=model, runtime="onnxruntime", precision="fp32", threads=1))


RIGHT = np.array([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((np.ones((2, 3)),), r"gives y of shape \(2, 3\) where the graph's are \(1, 2\)"),
        ((np.array([[1.0, np.inf]]),), "gives y that aren't finite numbers, as the graph's are"),
        ((RIGHT, RIGHT), "gives 2 outputs where the graph gives 1"),
    ],
)
def test_what_isnt_the_graphs_answer_is_told(
    given: tuple[np.ndarray, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=told):
        _loaded(monkeypatch, (RIGHT,), given)


@pytest.mark.parametrize("nothing", [np.zeros((1, 2)), np.array([[1.0, -np.inf]]), np.array([[np.nan, 1.0]])])
def test_a_graph_that_gives_nothing_to_compare_with(nothing: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loaded(monkeypatch, (nothing,), (nothing,)).parity is None


def test_each_output_is_judged_as_an_artifacts_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large numbers beside small ones hide nothing, and what should be zeros is off by all that it is."""
    large, small = 1000 * RIGHT, np.zeros((1, 2))
    parity = _loaded(monkeypatch, (large, small), (large, small + 0.5)).parity
    assert parity is not None
    assert (parity.max_abs, parity.max_relative, parity.cosine) == (0.5, 1.0, 0.0)
    assert (parity.outputs["y"].max_abs, parity.outputs["y"].cosine) == (0.0, pytest.approx(1))
    assert (parity.images, parity.top1_agreement, parity.sqnr_db) == (1, None, None)


def test_a_first_run_gives_what_the_graph_computes(text: Path) -> None:
    model = read_model(text, {"ids": (1, 5), "mask": (1, 5)})
    run = first_run(model.data, model.inputs, "onnxruntime", "fp32", as_is=True)
    scores, lengths = run.outputs
    assert (scores.shape, lengths.shape, int(lengths)) == ((1, 5, 3), (), 5)
    with pytest.raises(ModelError, match="onnxruntime runs fp32, int8, not 'fp16'"):
        first_run(model.data, model.inputs, "onnxruntime", "fp16")


def test_shapes_are_no_business_of_an_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.flow.bench.load_artifact", lambda path: Artifact(path, None))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shapes are of models, and none is given"):
        bench(tmp_path, shapes={"images": (1, 3, 8, 8)})
