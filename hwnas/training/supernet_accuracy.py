"""`SupernetAccuracy`: inherited accuracy as an objective that can travel to other processes."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import chdir
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.errors import CheckpointError
from hwnas.evaluation.accuracy import Evaluator
from hwnas.nn.process import threads
from hwnas.training.trained import TrainedSupernet, load_supernet, read_supernet_info

_HASH_LENGTH = 12


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
    recalibration_images: int = 512
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
        with threads(1):
            return _load(self)[1](archs)

    @property
    def trained(self) -> TrainedSupernet:
        """The supernet in this process. It and its data set are loaded here, if they aren't yet.

        Raises:
            CheckpointError, DataError: as for calling it.
        """
        return _load(self)[0]

    @property
    def key(self) -> str:
        """All that decides its values: weights, images and how many of them."""
        info = read_supernet_info(self.run)
        data = [info.data.sha256, info.data.held_out, info.data.corrupt_images, info.data.preprocessing.plain()]
        data_sha256 = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return (
            f"supernet {self._weights_sha256[:_HASH_LENGTH]}, data {data_sha256[:_HASH_LENGTH]}, "
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
