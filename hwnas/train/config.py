"""`TrainConfig`: what ``hwnas train`` reads from YAML."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwnas.errors import ConfigError
from hwnas.files import read_yaml, validated

_Count = Annotated[int, Field(ge=1, strict=True)]
_Fraction = Annotated[float, Field(ge=0, lt=1)]
_ONLY_SUPERNET = ("space", "resolution", "stabilizers", "sampling", "paths_per_update", "recalibration_batches")


class TrainConfig(BaseModel):
    """How to train a supernet, or one network.

    Attributes:
        data: ``digits``, or a folder with ``train/<class>/`` and ``test/<class>/``.
        network: a MODEL folder to fine-tune; absent, a supernet of ``space`` is trained.
        space: a name or a YAML file.
        resolution: input height and width in pixels; the space's own when absent.
        stabilizers: learnable 1×1 convolutions on skips.
        sampling: of paths, ``strict-fair`` or ``uniform``.
        paths_per_update: single-path models whose gradients are summed; the largest number of choices when absent.
        recalibration_batches: of BN statistics, before accuracies that go into the log.
        epochs: passes over the train part.
        batch: images per update.
        learning_rate: the peak; warmed up linearly, then lowered to 0 by a cosine.
        warmup_epochs: may be a fraction.
        momentum, weight_decay: of SGD.
        label_smoothing: share of the label spread over all classes.
        gradient_clip_norm: the largest L2 norm of an update's gradient, which is a sum over its paths.
        augment: random shifts, and flips where the data allows them.
        held_out: share of the train images kept for validation.
        seed: of weights, order, augmentation and paths.
        threads: of the CPU; as many as PyTorch would take when absent.
        device: ``cpu`` or ``cuda``. The promise that a resumed run ends in the same bytes holds on the CPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    network: Path | None = None
    space: str = "scarlet-tiny"
    resolution: _Count | None = None
    stabilizers: bool = True
    sampling: Literal["strict-fair", "uniform"] = "strict-fair"
    paths_per_update: _Count | None = None
    recalibration_batches: _Count = 4
    epochs: _Count = 20
    batch: Annotated[int, Field(ge=2, strict=True)] = 32
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    warmup_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    momentum: _Fraction = 0.9
    weight_decay: _Fraction = 1e-4
    label_smoothing: _Fraction = 0.1
    gradient_clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    augment: bool = True
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    threads: _Count | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.network is not None and (given := [k for k in _ONLY_SUPERNET if k in self.model_fields_set]):
            raise ValueError(f"{given[0]} is of supernets only; leave it out beside 'network'")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        return self

    def settings(self) -> dict[str, Any]:
        """All that applies, defaults included, in plain values: what ``config.yaml`` of a run holds."""
        without = {"network"} if self.network is None else set(_ONLY_SUPERNET)
        return self.model_dump(mode="json", exclude=without)

    def to_yaml(self) -> str:
        """``settings`` as YAML."""
        return yaml.safe_dump(self.settings(), sort_keys=False)


def read_config(path: Path) -> TrainConfig:
    """A configuration file.

    Raises:
        ConfigError: can't be read, an unknown key (the nearest known one is named), or a value that makes no sense.
    """
    data = read_yaml(path, ConfigError)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines such as 'data: digits'")
    for key in data:
        if key not in TrainConfig.model_fields:
            near = difflib.get_close_matches(str(key), TrainConfig.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TrainConfig.model_fields)}"
            raise ConfigError(f"{path}: unknown key {key!r}; {hint}")
    return validated(TrainConfig, data, path, ConfigError)
