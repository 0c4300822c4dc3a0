"""Plug-ins of the guides in processes that nobody has told of them: their entry points are all that hwnas has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.extending.plugins import configurations, install


@dataclass
class Process:
    """A fresh process in ``folder`` with the environment ``env``, each time it is called."""

    folder: Path
    env: dict[str, str]

    def __call__(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def hwnas(self, *words: str, status: int = 0) -> str:
        return self("-m", "hwnas", *words, status=status)


def profiled(folder: Path, page: str, module: str, space: str) -> Process:
    """With the page's plug-in, and with a table of its space: ``table.yaml``."""
    site = folder / "site"
    site.mkdir()
    process = Process(folder, install(site, page, module))
    process.hwnas("profile", "--space", space, "--networks", "4", "--seconds", "1", "-o", "table.yaml")
    return process


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory: pytest.TempPathFactory) -> Process:
    return profiled(tmp_path_factory.mktemp("block"), "add-a-block.md", "hwnas_bottleneck", "bottlenecks")


@pytest.fixture(scope="module")
def widths(tmp_path_factory: pytest.TempPathFactory) -> Process:
    return profiled(tmp_path_factory.mktemp("space"), "add-a-space.md", "hwnas_widths", "widths")


def test_a_table_of_its_blocks_is_read(bottlenecks: Process) -> None:
    assert "bottleneck 8x16x16->16x8x8 stride 2 groups 4" in bottlenecks.hwnas("table", "show", "table.yaml")
    assert "ms" in bottlenecks.hwnas("predict", "--table", "table.yaml", "bottlenecks:0,0,0,0")
    bottlenecks.hwnas("table", "diff", "table.yaml", "table.yaml")
    work = bottlenecks.folder / "work"
    work.mkdir()
    shutil.copy(bottlenecks.folder / "table.yaml", work)
    bottlenecks.hwnas("report", "work", "-o", "report.html")
    code = "import hwnas; print(len(hwnas.LatencyTable.load('table.yaml').ops))"
    assert int(bottlenecks("-c", code)) > 10


def test_a_csv_names_its_blocks(bottlenecks: Process) -> None:
    """Else they would be kept as foreign ops, which no space has."""
    (bottlenecks.folder / "ops.csv").write_text(
        "kind,c_in,h_in,w_in,c_out,stride,groups,latency_ms\nbottleneck,8,16,16,16,2,4,0.5\n"
    )
    bottlenecks.hwnas("table", "import", "ops.csv", "--device", "phone", "-o", "imported.yaml")
    text = (bottlenecks.folder / "imported.yaml").read_text("utf-8")
    assert ("kind: bottleneck" in text, "kind: foreign" in text) == (True, False)


def test_choices_of_a_layer_read_differently(bottlenecks: Process) -> None:
    lines = [line.split(maxsplit=1)[1] for line in bottlenecks.hwnas("space", "show", "bottlenecks").splitlines()]
    layer = lines[lines.index("0") + 1 : lines.index("1")]
    assert len(set(layer)) == len(layer) == 3


def test_a_block_whose_package_is_missing_or_broken(bottlenecks: Process, tmp_path: Path) -> None:
    """One line that says so; a package that can't be imported is told with it, and hides nothing."""
    table = str(bottlenecks.folder / "table.yaml")
    site = tmp_path / "site"
    site.mkdir()
    broken = Process(tmp_path, install(site, "add-a-block.md", "hwnas_bottleneck"))
    (site / "hwnas_bottleneck.py").write_text("import nowhere_to_be_found\n")
    said = broken.hwnas("table", "show", table, status=2)
    assert said.count("\n") == 1
    assert "unknown op kind 'bottleneck'; known: activation, add" in said
    assert "bottlenecks can't be imported (ModuleNotFoundError: No module named 'nowhere_to_be_found')" in said
    said = broken.hwnas("space", "show", "bottlenecks", status=2)
    assert said == (
        "hwnas: space 'bottlenecks': can't import hwnas_bottleneck:bottlenecks: No module named 'nowhere_to_be_found'\n"
    )
    shutil.rmtree(site)
    said = broken.hwnas("table", "show", table, status=2)
    assert said.count("\n") == 1
    assert "the package that brings it isn't installed here, install it" in said


def test_a_space_that_is_no_chain(widths: Process) -> None:
    """The command line takes it as far as a supernet, and no further than one line."""
    shown = json.loads(widths.hwnas("space", "show", "widths", "--json"))
    assert shown["layers"] == [["8", "12", "16"]] * 4
    assert "layer 3\n   0  8\n" in widths.hwnas("space", "show", "widths")
    assert "81" in widths.hwnas("space", "feasible", "widths", "--table", "table.yaml")
    assert "81 random networks" in widths.hwnas("table", "diff", "table.yaml", "table.yaml")
    widths.hwnas("derive", "widths:0,1,2,0", "-o", "model")
    widths.hwnas("export", "model", "--target", "onnx-fp32", "-o", "work/artifact")
    shutil.copy(widths.folder / "table.yaml", widths.folder / "work")
    widths.hwnas("report", "work", "-o", "report.html")
    page = (widths.folder / "report.html").read_text("utf-8")
    assert "stem: skipped" not in page
    assert "conv-relu, 8×16×16 to 12×16×16" in page
    (widths.folder / "train.yaml").write_text("data: digits\nlearner: {kind: supernet, space: widths}\n")
    said = widths.hwnas("train", "train.yaml", "-o", "run", status=2)
    assert said == "hwnas: a supernet takes a chain of layers, which widths isn't; give another space\n"
    assert not (widths.folder / "run").exists()
    assert "leave other ones out" in widths.hwnas("count", "widths:0,0,0,0", "--resolution", "32", status=2)


def test_the_whole_pyproject_says_what_the_block_page_does() -> None:
    (whole,) = configurations("package-a-plug-in.md")
    assert {"name", "version"} < whole["project"].keys()
    assert whole["project"]["entry-points"] == configurations("add-a-block.md")[0]["project"]["entry-points"]
    modules = [v.split(":")[0] for points in whole["project"]["entry-points"].values() for v in points.values()]
    assert whole["tool"]["setuptools"]["py-modules"] == modules
