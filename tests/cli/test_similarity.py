"""``hwnas similarity`` on real run folders: small supernets, one of them trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hwnas.data.load import load_data
from hwnas.evaluation.similarity import feature_similarity
from hwnas.nn.supernet import Supernet
from hwnas.space.registry import get_space
from hwnas.training.loop import run_training
from hwnas.training.trained import load_supernet, save_supernet
from tests.cli.run import Shell
from tests.conftest import SMALL_SPACE
from tests.reporting.browser import needs_browser
from tests.spaces import keeping
from tests.training.training_cases import short

pytestmark = pytest.mark.xdist_group("similarity")  # so that the runs are made once


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@dataclass(frozen=True)
class Runs:
    """Run folders; read only."""

    trained: Path
    plain: Path
    other_space: Path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("some runs")
    space = root / "small.yaml"
    space.write_text(SMALL_SPACE)
    runs = Runs(root / "trained", root / "plain", root / "other-space")
    run_training(short(space), runs.trained)
    fresh(runs.plain, str(space), stabilizers=False)
    fresh(runs.other_space, "macro-w2")
    return runs


def fresh(run: Path, space: str, stabilizers: bool = True) -> None:
    """The run folder of a supernet that was never trained."""
    run.mkdir()
    supernet = Supernet(keeping(get_space(space, 16, 10), stabilizers))
    save_supernet(run, supernet, load_data("digits", 16), short(space), {}, 1)


def test_json_holds_every_matrix_and_its_means(hwnas: Shell, runs: Runs) -> None:
    words = ["similarity", runs.trained, runs.plain, "--images", 30, "--prefixes", 2, "--seed", 3, "--json"]
    found = hwnas(*words).json
    assert found == hwnas(*words).json
    assert {key: found[key] for key in ("space", "images", "prefixes", "seed")} == {
        "space": "small", "images": 30, "prefixes": 2, "seed": 3,
    }  # fmt: skip
    assert [(run["run"], run["stabilizers"]) for run in found["runs"]] == [
        (str(runs.trained), True), (str(runs.plain), False),
    ]  # fmt: skip
    for path, run in zip((runs.trained, runs.plain), found["runs"], strict=True):
        trained = load_supernet(path)
        expected = feature_similarity(trained.supernet, trained.data, images=30, prefixes=2, seed=3)
        assert [layer["layer"] for layer in run["layers"]] == list(range(6))
        for layer, matrix, ops in zip(run["layers"], expected, trained.supernet.space.layers, strict=True):
            assert layer["choices"] == [op.short for op in ops]
            assert layer["similarity"] == matrix.tolist()
        skips = [layer["skip"] for layer in run["layers"] if "skip" in layer["choices"]]
        assert [layer["skip"] for layer in run["layers"] if layer["skip"] is not None] == skips
        assert run["skip_mean"] == pytest.approx(np.mean(skips))
        beside = [layer["blocks"] for layer in run["layers"] if "skip" in layer["choices"]]
        assert 0 < len(beside) < 6
        assert run["blocks_mean"] == pytest.approx(np.mean(beside))
    assert found["runs"][1]["skip_mean"] == pytest.approx(1)  # a fresh supernet's residual blocks are skips
    assert found["runs"][0]["skip_mean"] < 1 - 1e-7  # a trained one's, after 8 updates, not quite


def test_text_has_a_line_for_each_layer(hwnas: Shell, runs: Runs) -> None:
    outcome = hwnas("similarity", runs.plain, "--images", 10, "--prefixes", 1)
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "small: mean cosine similarity of features, 10 validation images, 1 random prefix"
    assert lines[1] == f"{runs.plain}, without stabilizers"
    assert [line.split()[0] for line in lines[3:10]] == ["0", "1", "2", "3", "4", "5", "mean"]
    assert lines[10:] == ["  The means are of the layers with a skip."]
    assert lines[5].split()[1] == "–"  # layer 2 changes the shape: no skip


def test_too_few_images_are_all_taken_and_said_to_be(hwnas: Shell, runs: Runs) -> None:
    count = len(load_supernet(runs.plain).data.validation.labels)
    outcome = hwnas("similarity", runs.plain, "--images", count + 1, "--prefixes", 1, "--json")
    assert outcome.json["images"] == count
    assert f"the validation part has {count} images: took all of them" in outcome.err
    assert "took all" not in hwnas("similarity", runs.plain, "--images", count, "--prefixes", 1).err


@needs_browser
def test_page_and_picture_are_written(hwnas: Shell, runs: Runs, tmp_path: Path) -> None:
    page, picture = tmp_path / "maps.html", tmp_path / "maps.png"
    outcome = hwnas(
        "similarity", runs.trained, runs.plain, "--images", 10, "--prefixes", 1, "-o", page, "--png", picture
    )
    assert outcome.status == 0
    assert outcome.out.splitlines()[-2:] == [f"written: {page}", f"written: {picture}"]
    assert "A: trained, with stabilizers" in page.read_text("utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_of_two_spaces_are_refused(hwnas: Shell, runs: Runs, tmp_path: Path) -> None:
    page = tmp_path / "maps.html"
    message = hwnas.refused("similarity", runs.plain, runs.other_space, "-o", page)
    assert str(runs.other_space) in message
    assert "another space than" in message
    assert list(tmp_path.iterdir()) == []


def test_runs_of_other_data_or_another_split_are_refused(hwnas: Shell, runs: Runs, tmp_path: Path) -> None:
    for field, value, what in (("sha256", "0" * 64, "data"), ("held_out", 0.2, "held_out")):
        altered = tmp_path / field
        shutil.copytree(runs.plain, altered)
        info = json.loads((altered / "supernet.json").read_text())
        info["data"][field] = value
        (altered / "supernet.json").write_text(json.dumps(info))
        assert f"{altered} has another {what} than {runs.plain}" in hwnas.refused("similarity", runs.plain, altered)


def test_an_unfinished_run_is_refused(hwnas: Shell, runs: Runs, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(runs.trained / "config.yaml", begun)
    page = tmp_path / "maps.html"
    assert f"{begun} holds no finished supernet" in hwnas.refused("similarity", runs.plain, begun, "-o", page)
    assert not page.exists()


@pytest.mark.parametrize("option", ["-o", "--png"])
def test_an_existing_output_is_refused(hwnas: Shell, runs: Runs, tmp_path: Path, option: str) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    assert "exists already" in hwnas.refused("similarity", runs.plain, option, there)
    assert there.read_text() == "precious"


def test_a_picture_without_a_browser_is_refused_at_once(
    hwnas: Shell, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "a PNG takes a browser" in hwnas.refused("similarity", "no-run-at-all", "--png", tmp_path / "maps.png")


@pytest.mark.parametrize("words", [["--images", 1], ["--prefixes", 0], ["--seed", -1]])
def test_numbers_out_of_range_are_refused(hwnas: Shell, runs: Runs, words: list[object]) -> None:
    assert str(words[0]) in hwnas.refused("similarity", runs.plain, *words)
