"""``profile MODEL…``, ``predict`` and ``table show`` with tables of kernels, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.run import Shell
from tests.flow.test_kernels import net
from tests.onnx_models import exported


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for width in (16, 32, 48, 64):
        (folder / f"w{width}.onnx").write_bytes(exported(net(width, 2), torch.zeros(1, 3, 32, 32)))
    return sorted(folder.iterdir())


def test_from_files_to_who_fits(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "board.json"
    made = hwnas("profile", *files[:3], "-o", table, "--seconds", "0.4", "--json").json
    assert [model["name"] for model in made["models"]] == [str(path) for path in files[:3]]
    told = hwnas("predict", "--table", table, *files, "--budget", "1000", "--json").json
    assert [model["latency_ms"] for model in told["models"]] == sorted(m["latency_ms"] for m in told["models"])
    assert all(model["fits"] for model in told["models"])
    assert "doesn't fit 1e-06 ms" in hwnas("predict", "--table", table, files[0], "--budget", "1e-6").out
    rows = hwnas("table", "show", table, "--per-layer", files[0], "--json").json["launches"]
    assert rows
    text = hwnas("table", "show", table, "--per-layer", files[0]).out.splitlines()
    assert len(text) == 1 + len(rows)
    costs = [float(line.split()[0]) for line in text[1:]]
    assert costs == sorted(costs, reverse=True)
    assert "3 models" in hwnas("table", "show", table).out


def test_what_does_not_go_together(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    assert "--space, or models" in hwnas.refused("profile", "-o", new)
    assert "not both" in hwnas.refused("profile", files[0], "--space", "macro", "-o", new)
    assert "leave out --on" in hwnas.refused("profile", files[0], "--on", "ssh://board", "-o", new)
    assert not new.exists()
