"""`TrainConfig`: what ``hwnas train`` reads from YAML."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hwnas.errors import ConfigError
from hwnas.files import read_yaml, validated
from hwnas.training.sampling import SAMPLERS

_Count = Annotated[int, Field(ge=1, strict=True)]
_Fraction = Annotated[float, Field(ge=0, lt=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_ONLY_SUPERNET = ("space", "stabilizers", "sampling", "paths_per_update", "recalibration_batches")
_ONLY_NETWORK = ("network", "teacher")


class TrainConfig(BaseModel):
    """How to train a supernet, or one network.

    Attributes:
        data: ``digits``, an image folder, a folder of shards, or a Dataset by import path; see ``load_data``.
        corrupt_images: ``fail`` at an image that can't be decoded, or ``skip`` and count it.
        held_out: share of the train images kept for validation.
        augment: ``none``, ``shift`` (and mirror, where the data allows it) or ``crop`` (random resized crop).
        workers: processes that decode images; 0 decodes in the training process. Images in memory need none.
        network: a MODEL folder to fine-tune, or an arch to train from scratch; absent, a supernet is trained.
        teacher: a supernet's run folder (its largest network teaches) or a MODEL folder; ``network`` learns from it.
        space: a name or a YAML file.
        resolution: input height and width in pixels; the space's own when absent.
        stabilizers: learnable 1×1 convolutions on skips.
        sampling: of paths: ``strict-fair``, ``uniform``, ``sandwich``, ``progressive``, or a plug-in's name.
        paths_per_update: single-path models whose gradients are summed; as the rule has it when absent.
        recalibration_batches: of BN statistics, before accuracies that go into the log.
        epochs: passes over the train part.
        batch: images per update, over all processes.
        accumulation: parts that a process splits its share of a batch into, for want of memory.
        optimizer: ``sgd`` (Nesterov's is not used) or ``adamw``.
        learning_rate: the peak; warmed up linearly, then lowered to 0 by a cosine.
        warmup_epochs: may be a fraction; one when absent, half of the training where that is less.
        momentum: of SGD.
        weight_decay: of SGD, or AdamW's decoupled one.
        label_smoothing: share of the label spread over all classes.
        class_weights: ``none``, or ``balanced``: every class weighs the same in the loss, however rare.
        distillation: the teacher's share of the loss; 1 for ``sandwich``, 0.5 with a ``teacher`` when absent.
        gradient_clip_norm: the largest L2 norm of an update's gradient, which is a sum over its paths.
        ema_decay: of a moving average of the weights, which is then what is evaluated and kept; none when absent.
        precision: of forward and backward: ``fp32``, ``bf16`` or ``fp16`` autocast. Weights stay fp32.
        compile: with ``torch.compile``: a network as a whole, a supernet block by block.
        sync_batchnorm: BN statistics over the whole batch, where several processes train.
        keep: the weights of the ``last`` epoch, or of the ``best`` by validation accuracy.
        top_k: k of the top-k accuracy in the log.
        tensorboard: write the log for TensorBoard as well.
        seed: of weights, order, augmentation and paths.
        threads: of the CPU; as many as PyTorch would take when absent.
        device: ``cpu`` or ``cuda``. The promise that a resumed run ends in the same bytes holds on the CPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    corrupt_images: Literal["fail", "skip"] = "fail"
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    augment: Literal["none", "shift", "crop"] = "shift"
    workers: Annotated[int, Field(ge=0, le=256, strict=True)] = 0
    network: str | None = None
    teacher: Path | None = None
    space: str = "scarlet-tiny"
    resolution: _Count | None = None
    stabilizers: bool = True
    sampling: str = "strict-fair"
    paths_per_update: _Count | None = None
    recalibration_batches: _Count = 4
    epochs: _Count = 20
    batch: Annotated[int, Field(ge=2, strict=True)] = 32
    accumulation: _Count = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: _Positive = 0.2
    warmup_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    momentum: _Fraction = 0.9
    weight_decay: _Fraction = 1e-4
    label_smoothing: _Fraction = 0.1
    class_weights: Literal["none", "balanced"] = "none"
    distillation: _Share | None = None
    gradient_clip_norm: _Positive = 20.0
    ema_decay: _Fraction | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    sync_batchnorm: bool = False
    keep: Literal["last", "best"] = "last"
    top_k: _Count = 5
    tensorboard: bool = False
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    threads: _Count | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    @field_validator("sampling")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in (known := SAMPLERS.names()):
            raise ValueError(f"there is no such rule; known: {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.network is not None and (given := [k for k in _ONLY_SUPERNET if k in self.model_fields_set]):
            raise ValueError(f"{given[0]} is of supernets only; leave it out beside 'network'")
        if self.network is None and self.teacher is not None:
            raise ValueError("teacher is for networks; a supernet learns from its own largest path by 'sandwich'")
        if self.distillation is not None and self.teacher is None and self.sampling != "sandwich":
            raise ValueError("distillation needs a 'teacher', or a supernet's sampling 'sandwich'")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        if self.batch // self.accumulation < 2:
            raise ValueError(f"accumulation {self.accumulation} leaves parts of fewer than 2 of {self.batch} images")
        return self

    @property
    def warmup_share(self) -> float:
        """Of the training, in which the learning rate rises."""
        epochs = min(1.0, self.epochs / 2) if self.warmup_epochs is None else self.warmup_epochs
        return epochs / self.epochs

    def settings(self) -> dict[str, Any]:
        """All that applies, defaults included, in plain values: what ``config.yaml`` of a run holds."""
        without = set(_ONLY_NETWORK if self.network is None else _ONLY_SUPERNET)
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
