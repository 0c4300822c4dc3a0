"""Inherited accuracy that travels: the same to the bit in whatever process."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import CheckpointError, DataError
from hwnas.evaluation.accuracy import Evaluator
from hwnas.nn.process import threads
from hwnas.training.loop import run_training
from hwnas.training.trained import SupernetAccuracy, load_supernet
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import folder_of_images, short

_ROOT = Path(__file__).parents[2]
_SETTINGS: dict[str, Any] = {"data": "photos", "held_out": 0.5, "batch": 4, "epochs": 1, "warmup_epochs": 0.0}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a supernet in ``run``, trained on images in ``photos``: both relative to it."""
    folder = tmp_path_factory.mktemp("work")
    folder_of_images(folder / "photos", per_class=12)
    (folder / "space.yaml").write_text(SMALL_SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_training(short("space.yaml", **_SETTINGS), Path("run"))
    return folder


@pytest.fixture
def accuracy(work: Path, monkeypatch: pytest.MonkeyPatch) -> SupernetAccuracy:
    monkeypatch.chdir(work)
    return SupernetAccuracy(Path("run"), evaluation_images=10, recalibration_images=8)


def test_it_is_the_evaluators(accuracy: SupernetAccuracy) -> None:
    trained = load_supernet(Path("run"))
    evaluator = Evaluator(trained.supernet, trained.data, recalibration_images=8, evaluation_images=10)
    archs = trained.supernet.space.sample(4, 0)
    with threads(1):
        expected = evaluator(archs)
    assert [float(accuracy(arch[None])[0]) for arch in archs] == expected.tolist()
    assert 0 < expected.mean() < 1  # else it would say little


_ELSEWHERE = """
import pickle, sys, torch
torch.set_num_threads(2)
accuracy, archs = pickle.load(sys.stdin.buffer)
print(*map(float.hex, accuracy(archs).tolist()), torch.get_num_threads())
"""


def test_another_process_with_more_threads_and_another_folder_gives_the_same(
    accuracy: SupernetAccuracy, tmp_path: Path
) -> None:
    archs = accuracy.trained.supernet.space.sample(4, 0)
    travelling = pickle.dumps((accuracy, archs))
    assert len(travelling) < 2000
    said = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE], input=travelling, capture_output=True, check=True, cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(_ROOT)},
    ).stdout.decode()  # fmt: skip
    assert said.split() == [*map(float.hex, accuracy(archs).tolist()), "2"]


def test_it_computes_with_one_thread_and_leaves_the_number_as_it_was(
    accuracy: SupernetAccuracy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = accuracy.trained
    seen: list[int] = []
    monkeypatch.setattr(Evaluator, "__call__", lambda *_: seen.append(torch.get_num_threads()))
    with threads(3):
        accuracy([[0] * 6])
        assert torch.get_num_threads() == 3
    assert seen == [1]


def test_its_key_tells_whatever_decides_the_values(accuracy: SupernetAccuracy, work: Path, tmp_path: Path) -> None:
    assert accuracy.key == SupernetAccuracy(work / "run", 10, 8).key  # wherever it lies
    keys = {accuracy.key, SupernetAccuracy(Path("run"), 11, 8).key, SupernetAccuracy(Path("run"), 10, 9).key}
    for changes in ({"seed": 1}, {"held_out": 0.25}):
        run = tmp_path / next(iter(changes))
        run_training(short("space.yaml", **_SETTINGS | changes), run)
        keys.add(SupernetAccuracy(run, 10, 8).key)
    assert len(keys) == 5


def test_a_supernet_that_was_trained_anew_is_refused(accuracy: SupernetAccuracy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_training(short("space.yaml", **_SETTINGS), run)
    before = SupernetAccuracy(run, 10, 8)
    shutil.rmtree(run)
    with pytest.raises(CheckpointError, match="doesn't exist"):
        before([[0] * 6])
    run_training(short("space.yaml", **_SETTINGS, seed=1), run)
    with pytest.raises(CheckpointError, match="another supernet"):
        before([[0] * 6])
    assert np.isfinite(SupernetAccuracy(run, 10, 8)([[0] * 6])).all()


def test_data_that_changed_is_refused(accuracy: SupernetAccuracy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    data = folder_of_images(tmp_path / "photos", per_class=12)
    run_training(short("space.yaml", **_SETTINGS | {"data": str(data)}), run)
    (data / "train" / "red" / "3.png").unlink()
    with pytest.raises(DataError, match="has changed"):
        _ = SupernetAccuracy(run).trained


def test_threads_take_turns(accuracy: SupernetAccuracy) -> None:
    """Each arch's BN statistics lie in the one supernet: mixed up they would be kept for good."""
    archs = accuracy.trained.supernet.space.sample(8, seed=0)
    alone = accuracy(archs)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(accuracy, [archs[::step] for step in (1, -1, 1, -1)]))
    for step, found in zip((1, -1, 1, -1), together, strict=True):
        np.testing.assert_array_equal(found, alone[::step])
