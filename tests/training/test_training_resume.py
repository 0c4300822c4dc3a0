"""Killed at any moment and resumed, a training ends in the same bytes."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwnas.records.train import LogLine
from hwnas.training import loop
from hwnas.training.log import read_log
from hwnas.training.loop import run_training
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import short

_ROOT = Path(__file__).parents[2]
_FINAL = ("supernet.safetensors", "supernet.json")

MOMENTS = [
    "before:checkpoint.safetensors:2",  # after the second update, with the first one's checkpoint in place
    "after:log.jsonl:1",  # the epoch is logged, its checkpoint isn't written
    "before:supernet.json:1",  # the weights are there, what describes them isn't
]


def kill(space: Path, run: Path, moment: str) -> None:
    command = [sys.executable, "-m", "tests.training.killed_training", str(space), str(run), moment]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_run_killed_again_and_again_ends_in_the_same_bytes(small_yaml: Path, tmp_path: Path) -> None:
    whole = run_training(short(small_yaml), tmp_path / "whole")
    run = tmp_path / "killed"
    for moment in MOMENTS:
        kill(small_yaml, run, moment)
        assert not (run / "supernet.json").exists()
    resumed = run_training(short(small_yaml), run, resume=True)
    assert resumed.accuracy == whole.accuracy
    for name in _FINAL:
        assert (run / name).read_bytes() == (whole.run / name).read_bytes()
    assert [_timeless(entry) for entry in read_log(run)] == [_timeless(entry) for entry in read_log(whole.run)]


def _timeless(entry: LogLine) -> LogLine:
    return entry.model_copy(update={"images_per_second": 0.0})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted, beside its space."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    return run_training(short(folder / "space.yaml", paths_per_update=2), folder / "run").run


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 8])
def test_a_run_interrupted_after_an_update_ends_in_the_same_bytes(
    stop: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same within one process, at other updates; momenta and half-dealt decks must come back exactly."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    config = short(whole.parent / "space.yaml", paths_per_update=2)

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        assert total == 8
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(config, tmp_path / "stopped", progress=interrupt)
    run_training(config, tmp_path / "stopped", resume=True)
    for name in _FINAL:
        assert (tmp_path / "stopped" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments_it_ends_in_the_same_bytes(
    seed: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at 5 moments of the clock, 20 in all; a training that ends before it is killed is followed by another."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    config, moments = short(whole.parent / "space.yaml", paths_per_update=2), random.Random(seed)
    started = time.monotonic()
    run_training(config, tmp_path / "for the clock")
    seconds = time.monotonic() - started
    run, kills = tmp_path / "0", 0
    while kills < 5:
        # forked, since a fresh interpreter would spend most of its life importing
        process = multiprocessing.get_context("fork").Process(target=run_training, args=(config, run, True))
        process.start()
        process.join(moments.uniform(0, 0.5 * seconds))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills += 1
        else:
            assert process.exitcode == 0
            _check_bytes(run, whole)
            run = tmp_path / str(kills + 1)
    run_training(config, run, resume=True)
    _check_bytes(run, whole)


def _check_bytes(run: Path, whole: Path) -> None:
    for name in (*_FINAL, "checkpoint.safetensors", "best.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
