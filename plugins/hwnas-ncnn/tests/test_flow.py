"""Profiling, export and bench with ncnn: nothing but the entry points tells hwnas of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hwnas_ncnn", reason="the package of plugins/hwnas-ncnn isn't installed")

from hwnas.artifacts.export import export_network
from hwnas.flow.bench import bench
from hwnas.nn.network import Network
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.local import conditions_of, measure_plan
from hwnas.profiling.plan import plan_space
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

TARGETS = Path(__file__).parents[1] / "targets"
QUICK = Effort(at_least_s=0.1, at_most_s=0.2)
SPACE = """
name: small
resolution: 16
classes: 10
act: hswish
kernels: [3]
expansions: [2]
se: [false, true]
stem: {width: 8, c_out: 8, stride: 2, separable: true, act: relu6}
stages:
  - {c_out: 12, layers: 2, stride: 2}
head: {width: 24, act: relu6}
"""


@pytest.fixture
def space(tmp_path: Path) -> ChainSpace:
    (tmp_path / "space.yaml").write_text(SPACE)
    return get_space(str(tmp_path / "space.yaml"))


def test_profile(space: ChainSpace) -> None:
    runtime = get_runtime("ncnn")
    plan = plan_space(space, conditions_of(runtime), networks=[[0, 1], [1, 1]], effort=QUICK)
    table = measure_plan(plan, space, runtime)
    assert table.device.runtime == "ncnn"
    assert len(table.networks) == 2
    assert LatencyPredictor(table, space)(np.array([[1, 0]])) > 0  # it has every op


def test_export_and_bench(space: ChainSpace, tmp_path: Path) -> None:
    network = Network(space, [1, 0]).eval()
    artifact = export_network(network, ["onnx-fp32", str(TARGETS / "ncnn-fp32.yaml")], tmp_path / "artifact")
    (entry,) = (file for file in artifact.manifest.files if file.target == "ncnn-fp32")
    assert entry.files == ("ncnn-fp32.param", "ncnn-fp32.bin")
    assert entry.lacks is None
    assert set(entry.precisions) == {"fp32"}
    assert entry.parity.max_relative < 1e-4
    rows = {row.target: row for row in bench([artifact], effort=QUICK).results}
    assert rows["ncnn-fp32"].p50_ms > 0
