"""Learners: what a training trains, and what the gradient of an update is. The loop knows nothing else of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn

from hwnas.errors import ConfigError
from hwnas.evaluation.accuracy import metrics_of
from hwnas.record import Settings
from hwnas.records.train import Facts, TrainRecord
from hwnas.registry import Registry
from hwnas.training.gradients import Passes
from hwnas.training.tasks import Task

if TYPE_CHECKING:
    from hwnas.training.config import TrainConfig


class LearnerConfig(Settings):
    """The section ``learner`` of a configuration; each kind, by its name in the registry, has a class of its own."""

    kind: str


class TermLoss(NamedTuple):
    """The mean loss of one term of an update's gradient, such as a path's; ``name`` is for messages."""

    name: str
    value: float


class Learner(Protocol):
    """A module with all weights to train, the task it is trained for, and how an update looks. Inherit what fits.

    Attributes:
        Config: of its section of the configuration.
        module: holds all weights.
        task: says what is learnt, from which data.
        fingerprint: tells a training of this learner from one of another.
    """

    Config: ClassVar[type[LearnerConfig]]
    module: nn.Module
    task: Task
    fingerprint: str

    def __init__(self, config: TrainConfig) -> None:
        """What ``config`` wants trained.

        Raises:
            SpaceError, ArchError, DataError, ModelError, CheckpointError, ConfigError: a part of it can't be had.
        """
        ...

    def gradients(self, x_NCHW: torch.Tensor, targets: torch.Tensor, done: float, passes: Passes) -> list[TermLoss]:
        """Add the gradient of the next update to ``.grad``, which is None before.

        Args:
            x_NCHW: the batch.
            targets: what it shows, as the task's data has it.
            done: in [0, 1), how much of the training lies behind it.
            passes: how to compute forward and backward.

        Returns:
            The mean loss of each term of the sum, one at least; the same terms in all processes of a training.
        """
        ...

    def places(self) -> Sequence[Sequence[nn.Module]]:
        """All modules with weights, in groups whose members are in as many terms of an update; here, one group."""
        return [[self.module]]

    def terms_per_place(self, done: float) -> Sequence[float]:
        """How many terms of this update each place's weights are in, in the mean; here, one."""
        return [1] * len(self.places())

    def compile(self) -> None:
        """Have ``torch.compile`` do the forward passes from now on; here, as a whole."""
        self.module.compile()

    def state(self) -> dict[str, Any] | None:
        """What decides the updates to come, beside weights: plain values, or None where nothing does, as here."""
        return None

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on where :meth:`state` was taken."""
        assert state is None

    def facts(self) -> Facts:
        """For the log, at the end of an epoch; here, what the module reaches on the validation part."""
        metrics = metrics_of(self.module, self.task.data, self.task.data.validation, self.task.metrics)
        return Facts(accuracy={"validation": next(iter(metrics.values()))}, validation=metrics)

    def save(self, run: Path) -> None:
        """Write the result into the run folder."""
        ...

    @staticmethod
    def finished(run: Path) -> TrainRecord | None:
        """What lies in the run folder; None where the training isn't finished.

        Raises:
            InputError: the result can't be read.
        """
        ...


LEARNERS = Registry[type[Learner]](
    "hwnas.learners",
    "learner",
    {
        "supernet": "hwnas.training.learners.supernet:SupernetLearner",
        "network": "hwnas.training.learners.network:NetworkLearner",
    },
    ConfigError,
)
"""Classes of learners; each brings the class of its section of the configuration."""
