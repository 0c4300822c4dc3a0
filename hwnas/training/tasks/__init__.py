"""Tasks: what is learnt, from which data, and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import torch

from hwnas.data.load import Data
from hwnas.errors import ConfigError
from hwnas.evaluation.metrics import Meter
from hwnas.record import Settings
from hwnas.registry import Registry
from hwnas.training.gradients import Criterion

if TYPE_CHECKING:
    from hwnas.training.config import TrainConfig


class TaskConfig(Settings):
    """The section ``task`` of a configuration; each kind, by its name in the registry, has a class of its own."""

    kind: str


class Task(Protocol):
    """Data, loss and metrics.

    Attributes:
        Config: of its section of the configuration.
        data: what is trained on, held out, and kept for final numbers.
        outputs: how many numbers a network puts out for an image, as a space's ``classes``.
        criterion: the loss, and how outputs are compared.
    """

    Config: ClassVar[type[TaskConfig]]
    data: Data
    outputs: int
    criterion: Criterion

    def __init__(self, config: TrainConfig, resolution: int) -> None:
        """The task of ``config`` at ``resolution`` pixels; the data set is loaded here.

        Raises:
            DataError: the data set can't be had.
        """
        ...

    @staticmethod
    def objective(device: torch.device) -> Meter:
        """Gathers the first metric alone; it takes no data set to make one."""
        ...

    def metrics(self, device: torch.device) -> Meter:
        """Gathers all metrics."""
        ...


TASKS = Registry[type[Task]](
    "hwnas.tasks",
    "task",
    {"classification": "hwnas.training.tasks.classification:Classification"},
    ConfigError,
)
"""Classes of tasks; each brings the class of its section of the configuration."""
