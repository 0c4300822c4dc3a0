"""``hwnas kit build`` and ``hwnas table import``: from a space to a validated table, and what both refuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hwnas.errors import TableError
from hwnas.prediction.plausible import check_speed
from hwnas.profiling import kit_main
from hwnas.profiling.kit_file import KitFile, seal
from hwnas.tables.table import LatencyTable
from tests.cli.run import Shell

QUICK = ["--space", "scarlet-tiny", "--resolution", "32", "--networks", "4", "--held-out", "5", "--seconds", "0.2"]


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def result(kit_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("back") / "result.json"
    assert kit_main.main(str(kit_path), ["-o", str(path)]) == 0
    return path


def test_build_measure_import_validate(hwnas: Shell, tmp_path: Path) -> None:
    kit, back, table = tmp_path / "k.pyz", tmp_path / "r.json", tmp_path / "t.yaml"
    built = hwnas("kit", "build", *QUICK, "-o", kit, "--json").json
    assert built == {"kit": str(kit), "sha256": KitFile(kit).sha256, "bytes": kit.stat().st_size, "entries": 49}
    assert built["sha256"] != hashlib.sha256(kit.read_bytes()).hexdigest()
    assert kit_main.main(str(kit), ["-o", str(back)]) == 0
    taken = hwnas("table", "import", back, "-o", table, "--json")
    assert taken.status == 0, taken
    assert (taken.json["ops"], taken.json["networks"], taken.json["held_out"]) == (35, 4, 5)
    loaded = LatencyTable.load(table)
    assert loaded.calibration is not None
    validated = hwnas("table", "validate", table, "--held-out", "--json")
    assert validated.status == 0, validated
    assert len(validated.json["networks"]) == 5
    assert hwnas("predict", "scarlet-tiny:0,0,0,0,0,0,0,0", "--resolution", "32", "--table", table).status == 0


def test_tables_of_other_tools(hwnas: Shell, tmp_path: Path, shared_data: Path) -> None:
    table = tmp_path / "t.yaml"
    assert hwnas("table", "import", shared_data / "ofa_note10_224_lookup_table.yaml", "-o", table).status == 0
    loaded = LatencyTable.load(table)
    assert loaded.provenance is not None
    assert (loaded.provenance.format, loaded.provenance.unit, len(loaded.ops)) == ("ofa", "ms", 96)


def test_imports_that_are_refused(hwnas: Shell, result: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.yaml"
    for words, reason in [
        ([tmp_path / "absent.json"], "can't read"),
        ([result, "--unit", "ms"], "is a kit's result, which says that itself; leave out --unit"),
        ([tmp_path], "can't read"),
    ]:
        assert reason in hwnas.refused("table", "import", *words, "-o", table)
    (tmp_path / "cut.json").write_bytes(result.read_bytes()[:-100])
    assert "isn't JSON" in hwnas.refused("table", "import", tmp_path / "cut.json", "-o", table)
    assert not table.exists()
    table.write_text("")
    assert "exists already" in hwnas.refused("table", "import", result, "-o", table)


def test_builds_that_are_refused(hwnas: Shell, tmp_path: Path) -> None:
    kit = tmp_path / "k.pyz"
    assert "no kit for runtime torch" in hwnas.refused("kit", "build", *QUICK, "--runtime", "torch", "-o", kit)
    assert "no space 'x'" in hwnas.refused("kit", "build", "--space", "x", "-o", kit)
    assert not kit.exists()
    assert "say which one with --on" in hwnas.refused("profile", *QUICK, "--python", "p", "-o", tmp_path / "t.yaml")
    assert "neither ssh://" in hwnas.refused("profile", *QUICK, "--on", "host", "-o", tmp_path / "t.yaml")


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_a_clock_that_counts_in_another_unit(hwnas: Shell, result: Path, tmp_path: Path, factor: float) -> None:
    """Sealed and consistent in itself, yet no device is that fast, or that slow."""
    data = json.loads(result.read_bytes())
    data["seconds"] *= max(factor, 1)
    for entry in data["entries"]:
        entry.update({key: entry[key] * factor for key in ("p10_ms", "p50_ms", "p90_ms")})
    data["sha256"] = seal(data)
    (tmp_path / "r.json").write_text(json.dumps(data))
    told = hwnas.refused("table", "import", tmp_path / "r.json", "-o", tmp_path / "t.yaml")
    assert "multiply-adds a second, which none does: its clock can't be right" in told


def test_a_usual_speed_is_taken(hwnas: Shell, result: Path, tmp_path: Path) -> None:
    assert hwnas("table", "import", result, "-o", tmp_path / "t.yaml").status == 0
    check_speed(LatencyTable.load(tmp_path / "t.yaml"), "t")
    with pytest.raises(TableError):
        LatencyTable.load(tmp_path / "r.yaml")
