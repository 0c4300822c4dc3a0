"""The block of docs/add-a-block.md goes through all of hwnas, and no file of hwnas knows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import hwnas
from hwnas.arrays import Archs
from hwnas.cli.main import main
from hwnas.graph.count import cost, count
from hwnas.graph.foldable import Exit, entry_of, exit_of
from hwnas.graph.graph import Op
from hwnas.nn.network import Network, traced_madds
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.extending.plugins import install, load, register

ARCH = (0, 3, 1, 2)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> ChainSpace:
    load("add-a-block.md", "hwnas_bottleneck")
    register(monkeypatch, "hwnas.spaces", bottlenecks="hwnas_bottleneck:bottlenecks")
    return get_space("bottlenecks")


def test_nobody_else_knows_it() -> None:
    """But for networks that others have thought of, which aren't made of blocks."""
    files = (p for p in (ROOT / "hwnas").rglob("*.py") if "typical" not in p.parts)
    assert not [p for p in files if "bottleneck" in p.read_text("utf-8").lower()]


@pytest.mark.parametrize("seed", range(3))
def test_three_counters_agree(space: ChainSpace, seed: int) -> None:
    """By formula, by fvcore's trace, and by PyTorch's own count of what ran (2 FLOPs a multiply-add)."""
    network = Network(space, tuple(space.sample(1, seed)[0].tolist())).eval()
    counted = count(network.graph)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *space.in_shape))
    assert counted.madds == traced_madds(network) == counter.get_total_flops() / 2
    assert counted.params == sum(p.numel() for p in network.parameters())


def test_by_hand() -> None:
    bottleneck = load("add-a-block.md", "hwnas_bottleneck").Bottleneck
    op: Op = bottleneck(c_in=16, h_in=8, w_in=8, c_out=32, stride=2, groups=4)
    assert op.out_shape == (32, 4, 4)
    assert cost(op).madds == 64 * 16 * 16 + 16 * (16 * 4 * 9 + 16 * 32)
    assert (entry_of(op), exit_of(op)) == ("conv1", Exit("conv3", "bn3"))
    again = Op.from_dict(op.to_dict())
    assert again == op
    assert str(op) == "bottleneck 16x8x8->32x4x4 stride 2 groups 4"
    assert op.label == "bottleneck, stride 2, groups 4"
    assert Op.short.fget(op) == "bottleneck stride 2 groups 4"  # type: ignore[attr-defined]


def test_from_profile_to_report(space: ChainSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiled, predicted, trained, searched, derived, exported, checked, benched and drawn by the command line."""
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "site"
    site.mkdir()
    installed = install(site, "add-a-block.md", "hwnas_bottleneck")  # for the process that a check runs files in
    monkeypatch.setenv("PYTHONPATH", installed["PYTHONPATH"])

    def run(*words: str) -> None:
        monkeypatch.setattr("sys.argv", ["hwnas", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, words

    run("profile", "--space", "bottlenecks", "--networks", "6", "--seconds", "1", "-o", "table.yaml")
    table = hwnas.LatencyTable.load("table.yaml")
    assert {op.kind for op in table.ops} == {"stem", "bottleneck", "stabilizer", "head"}
    latency_ms = hwnas.LatencyPredictor(table, space)(space.sample(50, 0))
    assert (latency_ms > 0).all()
    (tmp_path / "supernet.yaml").write_text(
        "data: digits\nepochs: 1\nbatch: 256\nthreads: 1\nlearner: {kind: supernet, space: bottlenecks}\n"
    )
    run("train", "supernet.yaml", "-o", "run")
    budget_ms = round(float(np.quantile(latency_ms, 0.7)), 6)
    run("search", "--supernet", "run", "--table", f"table.yaml:{budget_ms}", "--evaluations", "12", "-o", "search")
    run("derive", "search/winner.json", "--supernet", "run", "-o", "model")
    run("export", "model", "--target", "onnx-fp32", "-o", "artifact")
    kinds = {node.op_type for node in onnx.load(tmp_path / "artifact" / "onnx-fp32.onnx").graph.node}
    assert kinds <= {"Conv", "Relu", "Add", "GlobalAveragePool", "Flatten", "Gemm"}
    run("artifact", "check", "artifact")
    run("report", "search", "-o", "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "bottleneck" in page
    assert "g4" in page


def test_searched_from_python(space: ChainSpace) -> None:
    def wide(archs: Archs) -> list[float]:
        return [float(sum(archs[row])) for row in range(len(archs))]

    from hwnas.prediction.costs import madds

    objectives = [hwnas.Objective("groups", wide, maximize=True), hwnas.Objective("madds", madds(space), free=True)]
    found = hwnas.search(space, objectives, [hwnas.Budget("madds", 400_000)], evaluations=30)
    assert len(found.archs) == 30
    assert (madds(space)(found.archs) <= 400_000).all()
