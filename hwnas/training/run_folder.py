"""The run folder of a training.

config.yaml              the configuration with its defaults
data.json                what the data set was like; a resumed run wants it the same
log.jsonl, tensorboard/  see hwnas.training.log
checkpoint.safetensors   where to go on; see hwnas.training.checkpoint
best.safetensors         the weights of the best epoch
supernet.safetensors, supernet.json    the result: a supernet; see hwnas.training.trained …
model/                                 … or one network, as a MODEL folder
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.data.load import Data
from hwnas.errors import ConfigError, DataError
from hwnas.files import read_yaml, refuse_existing, write_atomic
from hwnas.record import difference
from hwnas.records.train import DataRecord
from hwnas.training.config import TrainConfig


def check_run(run: Path, config: TrainConfig, resume: bool) -> None:
    """Check that the run folder can be made, or that the one that is there was begun with ``config``.

    Raises:
        OutputError: it exists and isn't to be resumed, or can't be made.
        ConfigError: it was begun with another configuration.
    """
    path = run / "config.yaml"
    if not resume:
        refuse_existing(run, path.name)
    elif path.exists():
        begun = read_yaml(path, ConfigError)
        begun = begun if isinstance(begun, dict) else {}
        if (run / "data.json").exists():  # which says what the images were, wherever they lie: see check_data
            begun |= {"data": config.data}
        if changed := difference(begun, config.plain()):
            raise ConfigError(f"{path}: the run was begun with another {changed}; resume with the same, or train anew")


def check_data(run: Path, data: Data) -> None:
    """Check that the data set is the one that the run was begun with.

    Raises:
        DataError: it has other classes, another number of images, or other images.
    """
    path = run / "data.json"
    if not path.exists():
        return
    begun, now = DataRecord.read(path), _described(data)
    for field in DataRecord.model_fields:
        before, value = getattr(begun, field), getattr(now, field)
        if before != value:
            raise DataError(
                f"{data.spec} isn't what {run} was begun with: other {field.replace('_', ' ')}"
                f"{_difference(before, value)}; restore it, or train anew"
            )


def _difference(before: Any, now: Any) -> str:
    """In few words, however many classes there are."""
    if isinstance(now, tuple):
        odd = sorted(set(before) ^ set(now))
        return f", such as {odd[0]!r}" if odd else " in another order"
    return f": {before}, now {now}" if isinstance(now, int) else ""


def _described(data: Data) -> DataRecord:
    return DataRecord(
        classes=data.classes,
        train_images=len(data.train.labels),
        validation_images=len(data.validation.labels),
        test_images=len(data.test.labels),
        sha256=data.fingerprint,
    )


def open_run(run: Path, config: TrainConfig, data: Data) -> None:
    """Make the run folder, where it isn't there.

    Raises:
        OutputError: it can't be made.
    """
    path = run / "config.yaml"
    if path.exists():
        return
    _described(data).write(run / "data.json")
    write_atomic(path, config.to_yaml())
