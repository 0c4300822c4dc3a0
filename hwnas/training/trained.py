"""A trained supernet: its two files in the run folder, what is known of it, and its accuracy as what a search asks."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock

import numpy as np
import numpy.typing as npt

from hwnas.data.load import Data, load_data
from hwnas.errors import CheckpointError, DataError
from hwnas.evaluation.accuracy import RECALIBRATION_IMAGES, Evaluator, statistics_images
from hwnas.nn.network import load_weights, save_weights
from hwnas.nn.process import threads
from hwnas.nn.supernet import Supernet
from hwnas.records.train import SupernetRecord, TrainedOn
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.tasks import TASKS

_OTHERS = {
    "search.json": "a search folder",
    "settings.json": "a search folder",
    "manifest.json": "an artifact",
    "model.json": "a model folder",
    "model": "the run of a network",
}
"""What a folder is that holds such a file."""
_ONE_AT_A_TIME = RLock()
"""A process has one supernet, whose BN statistics become each arch's in turn: threads take turns as well."""


@dataclass(frozen=True)
class TrainedSupernet:
    """A supernet and what is known of it."""

    supernet: Supernet
    info: SupernetRecord

    @property
    def sha256(self) -> str:
        """Of the weights file."""
        return self.info.weights_sha256

    @cached_property
    def data(self) -> Data:
        """The data set it was trained on, loaded at first use.

        Raises:
            DataError: it can't be read, or isn't the same any more.
        """
        was = self.info.data
        data = load_data(
            was.source, self.info.space.resolution, held_out=was.held_out, corrupt=was.corrupt_images,
            resize_px=was.preprocessing.resize_px,
        )  # fmt: skip
        if data.fingerprint != was.sha256:
            raise DataError(f"{was.source} has changed since the supernet was trained on it; train it anew")
        return data

    def evaluator(
        self, *, evaluation_images: int = 5000, recalibration_images: int = RECALIBRATION_IMAGES
    ) -> Evaluator:
        """What its archs reach on the validation part with the weights they inherit, by its task's first metric."""
        return Evaluator(
            self.supernet, self.data, objective=TASKS.get(self.info.task).objective,
            recalibration_images=recalibration_images, evaluation_images=evaluation_images,
        )  # fmt: skip


def save_supernet(
    run: Path, supernet: Supernet, data: Data, config: TrainConfig, accuracy: dict[str, float], images: int
) -> None:
    """Write the final files; ``supernet.json`` comes last and says that the other is whole.

    ``accuracy`` of some archs is that on so many ``images``.
    """
    SupernetRecord(
        space=supernet.space.ref,
        stabilizers=supernet.space.inherits,
        data=TrainedOn(
            source=data.spec, held_out=config.held_out, corrupt_images=config.corrupt_images, sha256=data.fingerprint,
            labels=data.classes, preprocessing=data.preprocessing,
        ),
        task=config.task.kind,
        accuracy=accuracy,
        accuracy_images=dict.fromkeys(accuracy, images),
        weights_sha256=save_weights(supernet, run / "supernet.safetensors"),
    ).write(run / "supernet.json")  # fmt: skip


def read_supernet_info(run: Path) -> SupernetRecord:
    """What is known of the supernet of a finished run.

    Raises:
        CheckpointError: there is none, or it was written by another version of hwnas.
    """
    path = run / "supernet.json"
    if not path.exists():
        others = (f"is {what}" for name, what in _OTHERS.items() if (run / name).exists())
        what = next(others, "is a file" if run.is_file() else None if run.exists() else "doesn't exist")
        if what:
            raise CheckpointError(f"{run} {what}; give the run folder of a supernet that hwnas train made")
        raise CheckpointError(f"{run} holds no finished supernet; train one there, or finish it with --resume")
    return SupernetRecord.read(path)


def load_supernet(run: Path) -> TrainedSupernet:
    """The supernet of a finished run, in eval mode. The YAML file of its space needn't be there any more.

    Raises:
        CheckpointError: there is none, or its weights were altered or don't fit.
        SpaceError: its space can't be made any more.
    """
    info = read_supernet_info(run)
    space = get_space(info.space)
    supernet = Supernet(space.inheriting() if info.stabilizers else space)
    load_weights(supernet, run / "supernet.safetensors", info)
    return TrainedSupernet(supernet.eval(), info)


@dataclass(frozen=True)
class SupernetAccuracy:
    """Accuracy on the validation part that archs inherit from a trained supernet; see :class:`Evaluator`.

    Small itself: the supernet and the images are loaded at first use in each process, from the same paths, relative
    ones from the same working directory. The values don't depend on the process: each computes with one thread,
    because sums over a batch are added up in another order by two, and BN statistics then end in other digits.

    Args:
        run: folder of the training.
        evaluation_images: of the validation part, at most so many.
        recalibration_images: of the train part, for BN statistics.

    Raises:
        CheckpointError: there is no finished supernet.
    """

    run: Path
    evaluation_images: int = 5000
    recalibration_images: int = RECALIBRATION_IMAGES
    _folder: str = field(default_factory=os.getcwd, init=False)
    _weights_sha256: str = field(default="", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_weights_sha256", read_supernet_info(self.run).weights_sha256)

    def __call__(self, archs: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Archs (N, L) -> accuracies (N,) in [0, 1].

        Raises:
            ArchError: not archs of the supernet's space.
            CheckpointError: the supernet isn't there any more, or is another one.
            DataError: the data set can't be read, or has changed.
        """
        with _ONE_AT_A_TIME, threads(1):
            return _load(self)[1](archs)

    @property
    def trained(self) -> TrainedSupernet:
        """The supernet in this process, loaded with its data set if it isn't yet; raises as calling does."""
        with _ONE_AT_A_TIME:
            return _load(self)[0]

    @property
    def doubts(self) -> list[str]:
        """What to tell of the BN statistics; raises as calling does."""
        return statistics_images(self.trained.data, self.recalibration_images)[1]

    @property
    def images(self) -> int:
        """Of the validation part, that accuracies are found on; raises as calling does."""
        with _ONE_AT_A_TIME:
            return _load(self)[1].images

    @property
    def key(self) -> str:
        """All that decides its values: weights, images and how many of them."""
        info = read_supernet_info(self.run)
        data = [info.data.sha256, info.data.held_out, info.data.corrupt_images, info.data.preprocessing.plain()]
        data_sha256 = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return (
            f"supernet {self._weights_sha256:.12}, data {data_sha256:.12}, "
            f"{self.evaluation_images} images, BN by {self.recalibration_images}"
        )


@lru_cache(maxsize=1)
def _load(accuracy: SupernetAccuracy) -> tuple[TrainedSupernet, Evaluator]:
    with chdir(accuracy._folder):
        trained = load_supernet(accuracy.run)
        if trained.sha256 != accuracy._weights_sha256:
            raise CheckpointError(f"{accuracy.run} holds another supernet than when the search began; search anew")
        return trained, trained.evaluator(
            evaluation_images=accuracy.evaluation_images, recalibration_images=accuracy.recalibration_images
        )
