"""What a training trains: a supernet, path by path, or one network. The loop sees no difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from hwnas.data.load import Data
from hwnas.evaluation.batchnorm import Forward
from hwnas.nn.model_folder import load_model
from hwnas.training.config import TrainConfig
from hwnas.training.run import read_supernet_info
from hwnas.training.subject_network import NetworkSubject
from hwnas.training.subject_supernet import SupernetSubject
from hwnas.training.update import TrainedPath


class Subject(Protocol):
    """A module to train, and what to train it on."""

    @property
    def module(self) -> nn.Module:
        """Holds all weights."""
        ...

    @property
    def data(self) -> Data:
        """Says what is trained on and what is held out."""
        ...

    @property
    def fingerprint(self) -> str:
        """Tells a training of this subject from one of another."""
        ...

    @property
    def teacher(self) -> Forward | None:
        """x_NCHW -> logits that all paths learn from."""
        ...

    def next_paths(self, done: float) -> Sequence[TrainedPath]:
        """What the next update trains; ``done`` in [0, 1) is how much of the training lies behind it."""
        ...

    def places(self) -> Sequence[Sequence[nn.Module]]:
        """All modules with weights, in groups whose members lie on as many paths of an update."""
        ...

    def paths_per_place(self, done: float) -> Sequence[float]:
        """On how many paths of an update each place's weights lie, in the mean."""
        ...

    def compile(self) -> None:
        """Have ``torch.compile`` do the forward passes from now on."""
        ...

    def state(self) -> dict[str, Any] | None:
        """What decides the paths to come."""
        ...

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on where :meth:`state` was taken."""
        ...

    def facts(self) -> dict[str, Any]:
        """For the log: ``accuracy`` on the validation part by name, and whatever else is worth a look."""
        ...

    def save(self, run: Path) -> None:
        """Write the result."""
        ...


def make_subject(config: TrainConfig) -> Subject:
    """What ``config`` wants trained.

    Raises:
        SpaceError, ArchError, DataError, ModelError, CheckpointError, ConfigError: a part of it can't be had.
    """
    return NetworkSubject(config) if config.network is not None else SupernetSubject(config)


def finished(run: Path, config: TrainConfig) -> dict[str, float] | None:
    """Accuracies of the result that lies in ``run``, by name; None where the training isn't finished."""
    if config.network is not None:
        return load_model(run / "model")[1].accuracy if (run / "model").exists() else None
    return read_supernet_info(run).accuracy if (run / "supernet.json").exists() else None
