"""``profile MODEL…``, ``predict`` and ``table show`` with tables of kernels, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hwnas.profiling import kit_main
from tests.cli.run import Shell
from tests.flow.test_kernels import net
from tests.onnx_models import exported
from tests.tables.make_kernels import table

SHIPPED = Path(__file__).parents[2] / "latency_tables" / "amd-epyc-2core" / "macro-32-onnxruntime-fp32-1t.yaml"


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


def test_a_device_is_measured_once_for_models_to_come(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "board.json"
    made = hwnas("profile", "--kernels", "--count", "15", "-o", table, "--seconds", "0.3", "--json").json
    assert made["kernels"] >= 15
    assert {model["name"].partition("/")[0] for model in made["models"]} == {"typical"}
    (told,) = hwnas("predict", "--table", table, files[0], "--json").json["models"]
    assert not told["measured"]
    assert "measured" not in {launch["source"] for launch in told["launches"] if "Conv" in launch["kernel"]}
    assert "guessed" in hwnas("predict", "--table", table, files[0]).out


def test_what_does_not_go_together(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    assert "--space, or models" in hwnas.refused("profile", "-o", new)
    assert "not both" in hwnas.refused("profile", files[0], "--space", "macro", "-o", new)
    assert "--space, or models" in hwnas.refused("kit", "build", "-o", new)
    assert "no kit for runtime torch" in hwnas.refused("kit", "build", files[0], "--runtime", "torch", "-o", new)
    assert "not both" in hwnas.refused("profile", files[0], "--kernels", "-o", new)
    assert "not both" in hwnas.refused("kit", "build", "--kernels", "--space", "macro", "-o", new)
    assert "leave it out, or --kernels" in hwnas.refused("profile", "--kernels", "--shape", "x=1x3", "-o", new)
    own = "models have shapes of their own; leave out --batch"
    assert own in hwnas.refused("profile", files[0], "--batch", "2", "-o", new)
    assert own in hwnas.refused("kit", "build", files[0], "--classes", "5", "-o", new)
    of_models = "--shape and --with are for models"
    assert of_models in hwnas.refused("profile", "--space", "macro", "--with", "t.json", "-o", new)
    assert of_models in hwnas.refused("kit", "build", "--space", "macro", "--shape", "x=1x3x8x8", "-o", new)
    assert not new.exists()


def test_a_kit_of_models_there_and_back(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    kit, back, made = tmp_path / "k.pyz", tmp_path / "r.json", tmp_path / "board.json"
    built = hwnas("kit", "build", *files[:3], "-o", kit, "--seconds", "0.2")
    assert f"kernels and models of {files[0]} and 2 more for onnxruntime" in built.out
    assert kit_main.main(str(kit), ["-o", str(back)]) == 0
    told = hwnas("table", "import", back, "-o", made, "--json").json
    assert [model["name"] for model in told["models"]] == [str(path) for path in files[:3]]
    assert hwnas("predict", "--table", made, files[3]).status == 0


def test_each_kind_of_table_is_told_where_the_other_is_wanted(hwnas: Shell, files: list[Path], tmp_path: Path) -> None:
    kernels, ops = tmp_path / "kernels.json", tmp_path / "ops.yaml"
    table({"Relu": 0.1}).save(kernels)
    ops.write_text(SHIPPED.read_text("utf-8"), "utf-8")
    makes_kernels = "-o TABLE makes one of kernels"
    assert makes_kernels in hwnas.refused("predict", "--table", ops, files[0])
    assert "can't price" in hwnas.refused("predict", "--table", ops, files[0])
    assert makes_kernels in hwnas.refused("predict", "--table", kernels, "--table", ops, files[0])
    assert makes_kernels in hwnas.refused("table", "show", ops, "--per-layer", files[0])
    for words in (
        ("table", "validate", kernels),
        ("table", "diff", ops, kernels),
    ):
        assert "is a table of kernels" in hwnas.refused(*words)
