"""What a verb says when it ends, is stopped or is refused: the next command, which works as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hwnas.evaluation.interval import plus_minus
from hwnas.progress import ProgressBars
from hwnas.records.model import ModelRecord
from hwnas.records.train import SupernetRecord
from tests.cli.conftest import Flow
from tests.cli.run import Outcome, Shell
from tests.conftest import SMALL_SPACE
from tests.data.make import sharded
from tests.training.training_cases import folder_of_images

_CONFIG = "data: digits\nlearner: {{{learner}}}\nepochs: 1\nbatch: 640\nthreads: 1\n"


def following(outcome: Outcome) -> list[str]:
    """Words of the command that comes next."""
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("next: "))
    first, *words = shlex.split(line.removeprefix("next: ").partition(", ")[0])
    assert first == "hwnas"
    return words


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_is_grouped_by_step_in_whole_sentences(words: list[str], hwnas: Shell) -> None:
    outcome = hwnas(*words)
    assert outcome.status == 0
    titles = [line.partition(" (")[0] for line in outcome.out.splitlines() if line.endswith("):")]
    assert titles == ["Measure", "Train", "Search", "Ship"]
    assert "..." not in outcome.out.replace("[ARGS]...", "")
    assert "--install-completion" in outcome.out
    assert "in random order, and name the fastest." in " ".join(outcome.out.split())


@pytest.mark.parametrize("noun", ["space", "kit", "table", "artifact"])
def test_a_noun_alone_and_h_show_its_help(noun: str, hwnas: Shell) -> None:
    alone = hwnas(noun)
    assert (alone.status, alone.err) == (0, "")
    assert alone.out.strip() == hwnas(noun, "-h").out.strip()
    assert f"Usage: hwnas {noun}" in alone.out


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("tr", ["train"]),
        ("space show scarlet-s", ["scarlet-s1", "scarlet-s2"]),
        ("profile --space mac", ["macro"]),
    ],
)
def test_a_shell_completes_verbs_and_names(typed: str, completed: list[str]) -> None:
    count = len(typed.split())
    asked = {"_HWNAS_COMPLETE": "complete_bash", "COMP_WORDS": f"hwnas {typed}", "COMP_CWORD": str(count)}
    words = [sys.executable, "-c", "import sys; sys.argv = ['hwnas']; from hwnas.cli.main import main; main()"]
    told = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | asked)
    assert told.stdout.split() == completed, told.stderr


def test_each_verb_takes_the_folder_that_the_one_before_printed(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", "12", "-o", "found it")
    searched = hwnas(*words, "--resume")
    assert "nothing to resume in found it, begins anew" in searched.err
    derive = following(searched)
    assert derive[:2] == ["derive", "found it"]
    derived = hwnas(*derive)
    assert derived.status == 0, derived
    info = ModelRecord.read(tmp_path / "runs" / "model" / "model.json").info
    accuracy, images = info.accuracy["inherited, test"], info.accuracy_images["inherited, test"]
    assert f"accuracy, inherited, test: {plus_minus(accuracy, images)}" in derived.out
    assert info.made_from["search"] == "found it"  # as when winner.json is named
    assert following(derived) == ["train", "winner.yaml"]
    assert "\nthen: hwnas export runs/winner " in derived.out
    said = [line for line in derived.out.splitlines() if line.startswith("  ")]
    assert said == ["  data: digits", "  learner: {kind: network, network: runs/model}", "  learning_rate: 0.05"]
    (tmp_path / "winner.yaml").write_text("\n".join([*map(str.strip, said), "epochs: 1", "batch: 640", "threads: 1\n"]))
    trained = hwnas(*following(derived))
    told = {line.partition(":")[0] for line in trained.out.splitlines()}
    assert {"accuracy, validation", "accuracy, test", "model"} <= told
    export = following(trained)
    assert export[:2] == ["export", "runs/winner"]
    shipped = hwnas(*export)
    assert shipped.status == 0, shipped
    assert following(shipped) == ["bench", "artifact"]
    found, made = (hwnas("count", folder, "--json").json["arch"] for folder in ("found it", "artifact"))
    assert found.rpartition(":")[2] == made.rpartition(":")[2]
    assert "derive" in hwnas.refused("export", "found it", "--target", "onnx-fp32", "-o", "x")
    assert "derive" in hwnas.refused("export", flow.supernet, "--target", "onnx-fp32", "-o", "x")
    front = hwnas.refused("derive", "found it/front.json", "-o", "x")
    assert "found it/front.json:N" in front
    assert "holds no arch" in hwnas.refused("derive", "runs", "-o", "x")


def test_a_training_ends_with_what_was_left_out(hwnas: Shell, tmp_path: Path) -> None:
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (photos / name).mkdir(parents=True)
        for index in range(20):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(photos / name / f"{index}.png")
    (photos / "cats" / "3.png").write_text("text")
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"data: {photos}\ncorrupt_images: skip\nlearner: {{space: scarlet-tiny, resolution: 32, paths_per_update: 1}}\n"
        "epochs: 1\nbatch: 16\naugment: none\nthreads: 1\nheld_out: 0.3\n"
    )
    outcome = hwnas("train", config, "-o", tmp_path / "run")
    assert outcome.status == 0, outcome
    record = SupernetRecord.read(tmp_path / "run" / "supernet.json")
    for arch, accuracy in record.accuracy.items():
        images = record.accuracy_images[arch]
        assert f"accuracy, inherited, validation, {arch}: {plus_minus(accuracy, images)}" in outcome.out
    assert "skipped 1 image that can't be decoded" in outcome.out
    assert following(outcome)[:3] == ["search", "--supernet", str(tmp_path / "run")]


class _Stops:
    """Ctrl-C at the third step."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        if done >= 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("verb", ["train", "search"])
def test_what_was_stopped_says_how_it_goes_on_and_does(
    verb: str, hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "to be" / verb
    config = tmp_path / "mine.yaml"
    config.write_text(_CONFIG.format(learner=f"space: {flow.space}, paths_per_update: 1").replace("640", "320"))
    words: dict[str, tuple[Any, ...]] = {
        "train": ("train", config, "-o", output),
        "search": ("search", "--supernet", flow.supernet, "--table", flow.table, "-o", output, "--evaluations", "8"),
    }
    with monkeypatch.context() as stopping:
        stopping.setattr(ProgressBars, "__call__", _Stops.__call__)
        stopped = hwnas(*words[verb])
    assert (stopped.status, stopped.out) == (130, "")
    (line,) = (line for line in stopped.err.splitlines() if "stopped" in line)
    told, _, again = line.partition("--resume: ")
    assert told == "hwnas: stopped; go on with "
    assert f"{output} exists already; go on with --resume, or remove it" in hwnas.refused(*words[verb])
    assert hwnas(*shlex.split(again)[1:]).status == 0


def test_what_has_no_resume_says_that_it_was_interrupted(hwnas: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnas.flow.count.count", stop)
    assert hwnas("count", "scarlet-a") == Outcome(130, "", "hwnas: interrupted\n")


def test_a_ranking_goes_on_by_the_same_command(hwnas: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnas.flow.rank.rank", stop)
    stopped = hwnas("rank", "my run", "--standalone", "10")
    assert stopped == Outcome(
        130, "", "hwnas: stopped; the same command goes on: hwnas rank 'my run' --standalone 10\n"
    )


def test_a_folder_of_something_else_offers_no_resume(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    words = ("search", "--supernet", flow.supernet, "--table", flow.table, "-o", flow.supernet)
    assert "exists already; remove it" in hwnas.refused(*words)
    config = tmp_path / "mine.yaml"
    config.write_text(_CONFIG.format(learner=f"space: {flow.space}"))
    assert "exists already; remove it" in hwnas.refused("train", config, "-o", flow.search)


def test_a_table_of_other_classes_is_refused_before_training(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(_CONFIG.format(learner=f"space: {flow.space}, resolution: 32"))
    message = hwnas.refused("train", config, "-o", tmp_path / "run", "--table", flow.table)
    assert "the table is for 16 px, the network has 32 px; run hwnas profile --space " in message
    assert f"{flow.space}' --resolution 32 --classes 10 -o table-32-10.yaml" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", ["parts", "classes", "shards", "python"])
def test_a_table_that_does_not_fit_is_told_before_an_image_is_decoded(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def decoded(*_: object) -> None:
        raise OSError("was decoded")

    folder = folder_of_images(tmp_path / "photos")
    data = {
        "parts": folder,
        "classes": folder / "train",
        "shards": sharded(folder, tmp_path / "shards"),
        "python": "python:tests.data.foreign_cases:Pil",
    }[form]
    monkeypatch.setattr("hwnas.data.images.read_pixels", decoded)
    monkeypatch.setattr("hwnas.data.load.SourceImages.in_memory", decoded)
    config = tmp_path / "mine.yaml"
    config.write_text(f"data: {data}\nlearner: {{space: {flow.space}}}\n")
    words = ("train", config, "-o", tmp_path / "run")
    assert "was decoded" in hwnas.refused(*words)
    message = hwnas.refused(*words, "--table", flow.table)
    assert re.search("the table is for 10 classes, the network has [23];", message), message


def test_a_space_is_looked_at_without_a_table(hwnas: Shell) -> None:
    found = hwnas("space", "feasible", "scarlet-tiny", "--limit", "params=40000", "--json").json
    assert 0 < found["count"] < found["size"]
    assert (found["fastest_ms"], found["slowest_ms"]) == (None, None)
    assert set(found["extremes"]) == {"madds", "params"}
    assert found["extremes"]["params"]["most"]["value"] <= 40_000


def test_a_folder_of_another_kind_is_told_as_what_it_is(hwnas: Shell, tmp_path: Path) -> None:
    for name, inside in (("photos", "x.png"), ("a.failed", "failures.json"), ("begun", "settings.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / inside).write_text("{}")
    for words in (["artifact", "check"], ["bench"]):
        assert "photos isn't an artifact: it has no manifest.json" in hwnas.refused(*words, tmp_path / "photos")
        told = hwnas.refused(*words, tmp_path / "a.failed")
        assert "a.failed isn't an artifact: it is what a failed export left; failures.json in it says" in told
    told = hwnas.refused("report", tmp_path / "a.failed", "-o", tmp_path / "x.html")
    assert "a.failed is what a failed export left; failures.json" in told
    assert "begun isn't finished; finish it with" in hwnas.refused("derive", tmp_path / "begun", "-o", tmp_path / "x")
    told = hwnas.refused("derive", tmp_path / "begin", "-o", tmp_path / "x")
    assert told.endswith(f"there is no folder {tmp_path / 'begin'}; did you mean {tmp_path / 'begun'}?")
    assert f"there is no folder {tmp_path / '0123'}; give" in hwnas.refused("derive", tmp_path / "0123", "-o", "x")


def test_a_configuration_that_is_none_or_misspelt(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    assert "it is a latency table; hwnas search takes it with --table" in hwnas.refused("train", flow.table)
    (tmp_path / "model").mkdir()
    config = tmp_path / "train.yaml"
    config.write_text(_CONFIG.format(learner=f"kind: network, network: {tmp_path / 'modle'}"))
    told = hwnas.refused("train", config, "-o", tmp_path / "run")
    assert told.endswith(f"network: there is no folder {tmp_path / 'modle'}; did you mean {tmp_path / 'model'}?")


def test_of_an_unknown_option_the_nearest_is_told_if_it_is_near(hwnas: Shell) -> None:
    told = hwnas.refused("bench", "x", "--seconds", "15")
    assert told.endswith("No such option: --seconds (see hwnas bench --help)")
    assert "--thread; did you mean --threads?" in hwnas.refused("bench", "x", "--thread", "1")


def test_a_key_that_is_unknown_is_told_before_what_is_missing(hwnas: Shell, tmp_path: Path) -> None:
    space = tmp_path / "mine.yaml"
    space.write_text(SMALL_SPACE.replace("kernels: [3, 5]\n", "").replace("width: 8, c_out", "width: 8, cout"))
    assert "stem: unknown key 'cout'; did you mean 'c_out'?" in hwnas.refused("space", "show", space)
    config = tmp_path / "train.yaml"
    config.write_text("learner: {spce: small.yaml}\n")
    assert "unknown key 'spce' in 'learner'; did you mean 'space'?" in hwnas.refused("train", config)
