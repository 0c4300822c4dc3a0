"""Archs trained from scratch, each by itself: what a supernet's ranking is held against where nobody published one.

The work folder:

settings.json     what decides the accuracies
truth.csv         one row per finished training, as :mod:`hwnas.ranking.truth` reads it
training-N.json   the arch of the one that is under way, as an arch.json; removed when its row is written
training-N/       its run folder, likewise
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import ConfigError, SpaceError
from hwnas.files import read_json, to_json, write_atomic
from hwnas.progress import Progress
from hwnas.ranking.truth import read_truth, write_truth
from hwnas.record import difference
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.loop import run_training


def train_standalone(
    config: TrainConfig, space: ChainSpace, count: int, work: Path, *, seed: int, progress: Progress | None = None
) -> Path:
    """Train ``count`` random archs of ``space`` one after the other; returns the file of their test accuracies.

    Whatever is finished in ``work`` isn't done again, and a training that was killed goes on from its checkpoint; so
    the same call resumes, and one with a greater ``count`` adds to it.

    Args:
        config: of each training; its learner is put in here.
        space: whose archs.
        count: of different archs.
        work: a folder, made where it isn't there.
        seed: of the archs.
        progress: called after each update, counting the updates of all trainings.

    Raises:
        ConfigError: ``work`` was begun with other settings.
        SpaceError: the space hasn't as many archs.
        DataError, OutputError, CheckpointError, TrainingError: as :func:`hwnas.training.loop.run_training`.
    """
    archs = draw(space, count, seed)
    _begin(work, {**config.plain(), "learner": "network", "space": space.ref.plain(), "archs_seed": seed})
    path = work / "truth.csv"
    done: dict[tuple[int, ...], float] = {}
    if path.exists():
        truth = read_truth(path, space)
        done = dict(zip(map(tuple, truth.archs.tolist()), truth.accuracies[:, 0].tolist(), strict=True))
    for index, arch in enumerate(archs):
        run, file = work / f"training-{index}", work / f"training-{index}.json"
        if arch not in done:
            write_atomic(file, to_json(Arch(space, arch).to_dict()))  # so that the space's YAML file needn't be there
            one = config.model_copy(update={"learner": NetworkConfig(network=str(file))})
            found = run_training(one, run, resume=True, progress=_overall(progress, index, count))
            done[arch] = found.accuracy["test"]
            write_truth(path, space, done)
        shutil.rmtree(run, ignore_errors=True)  # also of a training that was killed between its row and this
        file.unlink(missing_ok=True)
    return path


def draw(space: ChainSpace, count: int, seed: int) -> list[tuple[int, ...]]:
    """``count`` different random archs; with the same seed, more archs begin with the fewer.

    Raises:
        SpaceError: the space hasn't as many.
    """
    if space.size < count:
        raise SpaceError(f"{space.name} has {space.size} archs, too few to train {count} different ones; ask for fewer")
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < count:
        drawn[tuple(space.sample(1, rng)[0].tolist())] = None
    return list(drawn)


def _begin(work: Path, settings: dict[str, Any]) -> None:
    path = work / "settings.json"
    if not path.exists():
        write_atomic(path, to_json(settings))
        return
    begun = read_json(path, ConfigError)
    if not isinstance(begun, dict):
        raise ConfigError(f"{path} isn't the settings of stand-alone trainings; give another --work folder")
    if changed := difference(begun, settings):
        raise ConfigError(
            f"{path}: the trainings there were begun with another {changed}; take the same, or another --work"
        )


def _overall(progress: Progress | None, index: int, count: int) -> Progress | None:
    if progress is None:
        return None

    def call(what: str, done: int, total: int, note: str) -> None:
        progress("training archs", index * total + done, count * total, f"arch {index + 1} of {count}, {note}")

    return call
