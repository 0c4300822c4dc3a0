"""A trained supernet: its two files in the run folder, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hwnas.data.load import Data, load_data
from hwnas.errors import CheckpointError, DataError
from hwnas.evaluation.accuracy import Evaluator
from hwnas.nn.network import load_weights, save_weights
from hwnas.nn.supernet import Supernet
from hwnas.records.train import SupernetRecord, TrainedOn
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.tasks import TASKS


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

    def evaluator(self, *, evaluation_images: int = 5000, recalibration_images: int = 512) -> Evaluator:
        """What its archs reach on the validation part with the weights they inherit, by its task's first metric."""
        return Evaluator(
            self.supernet, self.data, objective=TASKS.get(self.info.task).objective,
            recalibration_images=recalibration_images, evaluation_images=evaluation_images,
        )  # fmt: skip


def save_supernet(run: Path, supernet: Supernet, data: Data, config: TrainConfig, accuracy: dict[str, float]) -> None:
    """Write the final files; ``supernet.json`` comes last and says that the other is whole."""
    SupernetRecord(
        space=supernet.space.ref,
        stabilizers=supernet.space.inherits,
        data=TrainedOn(
            source=data.spec, held_out=config.held_out, corrupt_images=config.corrupt_images, sha256=data.fingerprint,
            labels=data.classes, preprocessing=data.preprocessing,
        ),
        task=config.task.kind,
        accuracy=accuracy,
        weights_sha256=save_weights(supernet, run / "supernet.safetensors"),
    ).write(run / "supernet.json")  # fmt: skip


def read_supernet_info(run: Path) -> SupernetRecord:
    """What is known of the supernet of a finished run.

    Raises:
        CheckpointError: there is none, or it was written by another version of hwnas.
    """
    path = run / "supernet.json"
    if not path.exists():
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
