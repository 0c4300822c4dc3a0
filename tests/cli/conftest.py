"""One small flow, made once by the real verbs, for all tests of the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from hwnas.cli.main import main
from hwnas.profiling.timer import Effort
from tests.cli.run import Shell
from tests.conftest import SMALL_SPACE


@dataclass(frozen=True)
class Flow:
    """Folders and files of the flow; read only."""

    root: Path
    space: Path
    table: Path
    supernet: Path
    search: Path
    model: Path
    artifact: Path


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes a moment where nobody says how long, in place of 8 s."""
    quick = Effort(rounds=3, at_least_s=0, at_most_s=0)
    monkeypatch.setattr(Effort.__init__, "__defaults__", tuple(asdict(quick).values()))


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    root = tmp_path_factory.mktemp("a flow")  # with a space in its path
    flow = Flow(
        root=root, space=root / "small.yaml", table=root / "table.yaml", supernet=root / "supernet",
        search=root / "search", model=root / "model", artifact=root / "artifact",
    )  # fmt: skip
    flow.space.write_text(SMALL_SPACE)
    config = root / "supernet-config.yaml"
    config.write_text(f"data: digits\nlearner: {{space: {flow.space}}}\nepochs: 2\nbatch: 64\nwarmup_epochs: 0.5\n")
    for words in [
        ["profile", "--space", flow.space, "-o", flow.table, "--networks", "6", "--seconds", "2"],
        ["train", config, "-o", flow.supernet],
        ["search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", "12", "-o", flow.search],
        ["derive", flow.search / "winner.json", "--supernet", flow.supernet, "-o", flow.model],
        ["export", flow.model, "--target", "onnx-fp32", "-o", flow.artifact],
    ]:
        with pytest.MonkeyPatch.context() as shell:
            shell.setattr("sys.argv", ["hwnas", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code, words
    return flow
