"""A training by two real processes is the training by one; with one of them dead, a single one goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hwnas.training.log import read_log
from hwnas.training.loop import run_training
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import short

_ROOT = Path(__file__).parents[2]
_TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*_TORCHRUN, *words], cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by one process, beside its configuration."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "space.yaml").write_text(SMALL_SPACE)
    config = short(folder / "space.yaml", sync_batchnorm=True, paths_per_update=3, learning_rate=0.05)
    (folder / "config.yaml").write_text(config.to_yaml())
    return run_training(config, folder / "run").run


def assert_same_training(found: Path, expected: Path) -> None:
    """Equal but for the order in which numbers were added."""
    weights, theirs = (load_file(run / "supernet.safetensors") for run in (found, expected))
    assert weights.keys() == theirs.keys()
    for name, tensor in weights.items():
        if tensor.is_floating_point() and "running" not in name:
            scale = theirs[name].abs().max().item() + 1e-3
            torch.testing.assert_close(tensor, theirs[name], atol=5e-3 * scale, rtol=0, msg=name)
    for mine, other in zip(read_log(found), read_log(expected), strict=True):
        assert mine.updates_per_choice == other.updates_per_choice
        assert mine.loss == pytest.approx(other.loss, rel=1e-3)


def test_two_processes_train_what_one_does(alone: Path, tmp_path: Path) -> None:
    config = alone.parent / "config.yaml"
    ended = torchrun("-m", "hwnas", "train", str(config), "-o", str(tmp_path / "run"), "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count('"run"') == 1  # one of them speaks
    assert_same_training(tmp_path / "run", alone)


def test_a_process_dies_and_one_alone_goes_on(alone: Path, tmp_path: Path) -> None:
    config, run = alone.parent / "config.yaml", tmp_path / "run"
    ended = torchrun("-m", "tests.training.torchrun_training", str(config), str(run), "6")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr.split("torch/distributed")[0]
    assert not (run / "supernet.json").exists()
    seen: list[int] = []
    resumed = short(alone.parent / "space.yaml", sync_batchnorm=True, paths_per_update=3, learning_rate=0.05)
    run_training(resumed, run, resume=True, progress=lambda what, done, total, note: seen.append(done))
    assert seen[0] > 1  # it didn't begin anew
    assert_same_training(run, alone)


def test_a_batch_that_cannot_be_shared_is_told(alone: Path, tmp_path: Path) -> None:
    """Before anything is written."""
    config = short(alone.parent / "space.yaml", batch=321)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    ended = torchrun("-m", "hwnas", "train", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run"))
    assert ended.returncode != 0
    assert "batch 321 can't be divided among 2 processes" in ended.stderr
    assert not (tmp_path / "run").exists()
