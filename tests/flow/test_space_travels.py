"""A space of one's own goes with what was measured of it: its YAML may be edited or gone, and the folder another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import MissingOpError, SpaceError
from hwnas.flow.predict import predict
from hwnas.flow.profile import kit
from hwnas.flow.table import diff_tables, import_table, validate_table
from hwnas.profiling import kit_main
from hwnas.profiling.timer import Effort
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.sum_check import check_networks
from hwnas.tables.table import LatencyTable
from tests.cli.run import Shell
from tests.conftest import SMALL_SPACE

EDITED = SMALL_SPACE.replace("width: 24", "width: 32")
ARCH = "own.yaml:0,0,0,0,0,0"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a kit that was built where ``own.yaml`` lay, named by its relative path."""
    folder = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        Path("own.yaml").write_text(SMALL_SPACE)
        kit("own.yaml", "kit.pyz", networks=6, held_out=5, effort=Effort(at_most_s=0.2))
        assert kit_main.main("kit.pyz", ["-o", "result.json"]) == 0
        (folder / "arch.json").write_text(json.dumps(Arch(get_space("own.yaml"), (0,) * 6).to_dict()))
        Path("own.yaml").unlink()
    return folder / "result.json"


@pytest.fixture(params=["gone", "edited"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where ``own.yaml`` isn't, or is another space by now."""
    monkeypatch.chdir(tmp_path)
    if request.param == "edited":
        (tmp_path / "own.yaml").write_text(EDITED)
    return tmp_path


def test_a_result_is_taken_in_and_its_table_used(result: Path, elsewhere: Path, small_space: ChainSpace) -> None:
    table = import_table(result, elsewhere / "table.yaml")
    assert table == LatencyTable.load("table.yaml")
    assert table.get_space().fingerprint == small_space.fingerprint
    assert table.calibration is not None
    assert len(validate_table("table.yaml", held_out=True).networks) == 5
    assert check_networks(table).networks == 6
    assert diff_tables("table.yaml", table).networks is not None
    archs = small_space.sample(3, 0)
    found = predict("table.yaml", [archs, result.with_name("arch.json"), Arch(small_space, (0,) * 6)])
    assert found.choices.tolist() == [*archs.tolist(), [0] * 6, [0] * 6]
    assert found.space.fingerprint == small_space.fingerprint


def test_the_verbs_do_as_well(
    result: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hwnas = Shell(monkeypatch, capsys)
    for words in [
        ["table", "import", result, "-o", "t.yaml"],
        ["table", "show", "t.yaml"],
        ["table", "validate", "t.yaml", "--held-out", "--plot", "plot.html"],
        ["table", "diff", "t.yaml", "t.yaml"],
        ["predict", "--table", "t.yaml", result.with_name("arch.json")],
    ]:
        assert hwnas(*words).status == 0, words


def test_an_arch_may_name_the_file_that_is_gone(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = import_table(result)
    assert str(predict(table, ARCH).archs[0]) == ARCH
    with pytest.raises(SpaceError, match=r"can.t read other\.yaml"):
        predict(table, ARCH.replace("own", "other"))


def test_a_file_that_is_there_is_read(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes down an arch of the edited space means the edited space."""
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(EDITED)
    with pytest.raises(
        MissingOpError,
        match=r"^the table .made for own.yaml .* lacks 1 op of own.yaml .* is \[head .* w32",
    ):
        predict(import_table(result), ARCH)
