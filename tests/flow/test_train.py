"""`train`, and that what it made opens anywhere, with or without the files that it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import CheckpointError, OutputError
from hwnas.flow.rank import rank
from hwnas.flow.train import train
from hwnas.nn.model_folder import load_model
from hwnas.ranking.standalone import draw
from hwnas.ranking.truth import write_truth
from hwnas.space.arch import Arch
from hwnas.training.config import read_config
from hwnas.training.trained import SupernetAccuracy, load_supernet
from tests.cli.run import Shell
from tests.conftest import SMALL_SPACE

_CONFIG = "data: digits\nlearner: {space: small.yaml, paths_per_update: 1}\nepochs: 1\nbatch: 640\nthreads: 1\n"


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a person works in, with a configuration and a space of their own."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL_SPACE)
    (folder / "mine.yaml").write_text(_CONFIG)
    monkeypatch.chdir(folder)
    return folder


def test_a_path_a_name_or_a_configuration_and_where_it_goes(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = train("mine.yaml", resume=True)
    assert capsys.readouterr().err == "nothing to resume in runs/mine, begins anew\n"
    assert first.run == first.result == Path("runs/mine")
    second = train(read_config(Path("mine.yaml")), seed=1)
    assert second.run == Path("runs/supernet")
    assert second.accuracy.keys() != first.accuracy.keys()
    assert read_config(second.run / "config.yaml").seed == 1
    with pytest.raises(OutputError, match="exists already"):
        train(Path("mine.yaml"), "runs/mine")
    capsys.readouterr()
    assert train("mine.yaml", "runs/mine", resume=True) == first
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fate", ["gone", "edited"])
def test_a_run_opens_from_anywhere_whatever_became_of_the_yaml(
    fate: str, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun / train("mine.yaml").run
    space = load_supernet(run).supernet.space
    before = SupernetAccuracy(run)(space.sample(3, 0)).tolist()
    write_truth(begun / "truth.csv", space, {arch: i / 20 for i, arch in enumerate(draw(space, 12, seed=0))})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    if fate == "gone":
        (begun / "small.yaml").unlink()
    else:
        (begun / "small.yaml").write_text(SMALL_SPACE.replace("kernels: [3, 5]", "kernels: [3, 7]"))
    trained = load_supernet(run)
    assert trained.supernet.space == space
    assert SupernetAccuracy(run)(space.sample(3, 0)).tolist() == before
    found = rank(run, truth=begun / "truth.csv", images=50, recalibration_images=32)
    assert found.space == space.ref
    by_itself = rank([run], standalone=10, work="work", images=50, recalibration_images=32)
    assert by_itself.truth_archs == 10
    Path("arch.json").write_text(json.dumps(Arch(space, (0,) * 6).to_dict()))
    assert Shell(monkeypatch, capsys)("derive", "arch.json", "--supernet", run, "-o", "model").status == 0
    assert load_model(Path("model")).choices == (0,) * 6


def test_a_supernet_of_an_older_version_says_what_to_do(begun: Path) -> None:
    run = train("mine.yaml").run
    info = json.loads((run / "supernet.json").read_text())
    (run / "supernet.json").write_text(json.dumps(info | {"schema": "hwnas-supernet/1"}))
    with pytest.raises(CheckpointError, match=r"hwnas-supernet/1, this hwnas reads .*; train the supernet anew"):
        load_supernet(run)
