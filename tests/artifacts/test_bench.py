"""`bench`: every file under every condition asked for, side by side, and what fails takes nothing with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas.artifacts import cells
from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.export import export_network
from hwnas.artifacts.process_memory import peak_memory_mb
from hwnas.errors import ConfigError, RuntimeMissingError
from hwnas.flow.bench import bench, fastest
from hwnas.nn.network import Network
from hwnas.profiling.timer import Effort
from hwnas.records.bench import BenchRow
from hwnas.runtimes.onnxruntime import OnnxRuntimeSession
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.artifacts.faults import crashing
from tests.conftest import SMALL_SPACE

EFFORT = Effort(rounds=3, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)
FIXED = """
schema: hwnas-target/1
format: onnx
precision: fp32
batch: 4
runtime: onnxruntime
tolerance: {relative: 1.0e-4, top1: 0.99}
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> ChainSpace:
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SMALL_SPACE)
    return get_space(str(path))


@pytest.fixture(scope="module")
def artifact(space: ChainSpace, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "fixed.yaml").write_text(FIXED)
    targets = ["onnx-fp32", str(folder / "fixed.yaml"), "openvino-fp32", "tensorrt-rtx-fp16"]
    with pytest.MonkeyPatch.context() as patch:  # each in a process of its own, as people have it
        patch.setattr("hwnas.artifacts.beside_fp32.peak_memory_mb", peak_memory_mb)
        return export_network(Network(space, [1] * 6).eval(), targets, folder / "artifact")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has tests of its own."""
    monkeypatch.setattr(cells, "peak_memory_mb", lambda *_, **__: 1.5)


def conditions(row: BenchRow) -> tuple[str, str, int, int]:
    return row.target, row.runtime, row.batch, row.threads


@pytest.mark.usefixtures("quick")
def test_every_file_is_timed_under_every_condition(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.profiling.local.usable_cores", lambda: 2)
    found = bench([artifact], batches=(1, 8), threads=(1, 2, 1), effort=EFFORT)
    assert {conditions(r) for r in found.results} == {
        *((target, runtime, batch, threads)
          for target, runtime in (("onnx-fp32", "onnxruntime"), ("openvino-fp32", "openvino"))
          for batch in (1, 8) for threads in (1, 2)),
        *(("fixed", "onnxruntime", 4, threads) for threads in (1, 2)),
    }  # fmt: skip
    assert len(found.results) == 10
    order = [(r.batch, r.threads, r.p50_ms) for r in found.results]
    assert order == sorted(order)
    assert all(r.images_per_s == pytest.approx(1000 * r.batch / r.p50_ms) for r in found.results)
    assert all(r.parity is not None and r.parity.max_relative < 1e-4 for r in found.results)
    assert all(set(r.precisions) == {"fp32"} and r.memory_mb == 1.5 for r in found.results)
    assert {each.target for each in found.lacking} == {"tensorrt-rtx-fp16"}
    assert all("GPU" in each.lacks for each in found.lacking)
    assert found.drift is None
    assert found.confidence_95 >= max(r.confidence_95 or 0 for r in found.results)


@pytest.mark.usefixtures("quick")
def test_onnx_runs_on_the_runtimes_asked_for(artifact: Artifact) -> None:
    found = bench([artifact], runtimes=("torch", "openvino"), effort=EFFORT)
    assert {conditions(r) for r in found.results} == {
        ("onnx-fp32", "torch", 1, 1), ("onnx-fp32", "openvino", 1, 1), ("openvino-fp32", "openvino", 1, 1),
        ("fixed", "torch", 4, 1), ("fixed", "openvino", 4, 1),
    }  # fmt: skip
    for result in found.results:
        assert result.parity is not None
        assert result.parity.max_relative < 1e-4
        own = result.target == "openvino-fp32"
        assert result.parity.inputs == ("random textures" if own else "parity.safetensors, beside onnxruntime")
    with pytest.raises(ConfigError, match="runs on ncnn"):
        bench([artifact], runtimes=("ncnn",))


@pytest.mark.usefixtures("quick")
def test_a_file_that_fails_in_the_middle_loses_nothing_of_the_others(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = OnnxRuntimeSession.bind
    calls = iter(range(100))

    def failing(self: OnnxRuntimeSession, inputs: Any) -> Any:
        call = whole(self, inputs)

        def fails() -> None:
            if next(calls) == 9:
                raise RuntimeError("bad_alloc\nin a kernel")
            call()

        return fails if len(inputs[0]) == 1 else call

    monkeypatch.setattr(OnnxRuntimeSession, "bind", failing)
    found = bench([artifact], effort=EFFORT)
    assert {r.target for r in found.results} == {"fixed", "openvino-fp32"}
    assert [(each.target, each.lacks) for each in found.lacking if each.batch == 1][-1] == (
        "onnx-fp32", "bad_alloc",
    )  # fmt: skip


def test_a_file_that_crashes_is_never_loaded_here(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing("openvino", tmp_path, monkeypatch)
    found = bench([artifact], effort=EFFORT)
    assert {r.target for r in found.results} == {"onnx-fp32", "fixed"}
    assert "SIGSEGV" in {each.target: each.lacks for each in found.lacking}["openvino-fp32"]


@pytest.mark.usefixtures("quick")
def test_wrong_requests(artifact: Artifact, space: ChainSpace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch must be at least 1"):
        bench([artifact], batches=(1, 0))
    with pytest.raises(ConfigError, match="threads must be"):
        bench([artifact], threads=(1, 10_000))
    found = bench([artifact], batches=(1, 65), effort=EFFORT)
    assert ("onnx-fp32", "it takes 1 to 64 images, not 65") in [(each.target, each.lacks) for each in found.lacking]
    gpu = export_network(Network(space, [0] * 6).eval(), ["tensorrt-rtx-fp16"], tmp_path / "gpu")
    with pytest.raises(RuntimeMissingError, match=r"tensorrt-rtx-fp16 on tensorrt-rtx: .*GPU"):
        bench([gpu])


@pytest.mark.usefixtures("quick")
def test_an_engine_without_its_proof_runs_only_when_trusted(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    opened = Artifact.open_as_is

    def noting(self: Artifact, file: Any, *, threads: int = 1, trusted: bool = False) -> Any:
        asked.append(trusted)
        return opened(self, file, threads=threads, trusted=trusted)

    monkeypatch.setattr(Artifact, "open_as_is", noting)
    bench([artifact], effort=EFFORT, trusted=True)
    assert asked == [True] * 4
    bench([artifact], effort=EFFORT)
    assert asked[4:] == [False] * 4


def test_the_fastest_is_named_with_those_that_cant_be_told_from_it() -> None:
    def row(target: str, p50_ms: float, confidence_95: float, batch: int = 1) -> BenchRow:
        return BenchRow(
            artifact="a", target=target, runtime="x", threads=1, batch=batch, precision="fp32",
            p50_ms=p50_ms, p10_ms=p50_ms, p90_ms=p50_ms, count=9, confidence_95=confidence_95,
            images_per_s=1000 * batch / p50_ms, bytes=1, parity=None, precisions={}, memory_mb=None,
            predicted_ms=None,
        )  # fmt: skip

    rows = [row("best", 2.0, 0.05), row("near", 2.2, 0.05), row("far", 2.3, 0.05), row("other", 9.0, 0.0, batch=8)]
    told = [(best.target, [each.target for each in best.as_fast]) for best in fastest(rows)]
    assert told == [("best", ["near"]), ("other", [])]  # 2.2 − 5 % is below 2.0 + 5 %, 2.3 − 5 % isn't


def test_export_says_what_a_file_costs(artifact: Artifact) -> None:
    files = {file.target: file for file in artifact.manifest.files}
    assert files["tensorrt-rtx-fp16"].latency is files["tensorrt-rtx-fp16"].memory_mb is None
    for name in ("onnx-fp32", "fixed", "openvino-fp32"):
        assert files[name].latency is not None
        assert not files[name].pointless
        memory_mb = files[name].memory_mb
        assert (memory_mb is not None) == Path("/proc/self/status").exists()
        assert memory_mb is None or 0 < memory_mb < 200
    assert files["fixed"].device is not None
    assert files["fixed"].device.batch == 4
