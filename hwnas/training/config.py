"""`TrainConfig`: what ``hwnas train`` reads from YAML."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from hwnas.data.folder import DATA
from hwnas.errors import LARGEST, ConfigError, nearest
from hwnas.files import read_yaml, validated
from hwnas.record import Settings
from hwnas.registry import Registry
from hwnas.training.learners import LEARNERS, Learner, LearnerConfig
from hwnas.training.tasks import TASKS, Task, TaskConfig

Count = Annotated[int, Field(ge=1, le=10**9)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]

_SECTIONS: Mapping[str, Registry[type[Learner]] | Registry[type[Task]]] = {"learner": LEARNERS, "task": TASKS}


def _kind(name: str, section: Mapping[str, Any]) -> type[Settings]:
    """The class of a section; the first kind where none is named."""
    registry = _SECTIONS[name]
    return registry.get(str(section.get("kind", registry.names()[0]))).Config


def _section(name: str, given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    try:
        kind = _kind(name, given)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return kind.model_validate_json(json.dumps(given, default=str))


class TrainConfig(Settings):
    """What to train, on what, and how.

    Attributes:
        data: ``digits``, an image folder, a folder of shards, or a Dataset by import path; see ``load_data``.
        corrupt_images: ``fail`` at an image that can't be decoded, or ``skip`` and count it.
        held_out: share of the train images kept for validation.
        augment: ``none``, ``shift`` (and mirror, where the data allows it) or ``crop`` (random resized crop).
        workers: processes that decode images; 0 decodes in the training process. Images in memory need none.
        learner: what is trained: ``kind: supernet`` or ``network``, with their own keys; see :mod:`.learners`.
        task: what is learnt: ``kind: classification``, with its own keys; see :mod:`.tasks`.
        epochs: passes over the train part.
        batch: images per update, over all processes.
        accumulation: pieces that a process splits its share of a batch into, for want of memory.
        optimizer: ``sgd`` (Nesterov's is not used) or ``adamw``.
        learning_rate: the peak; warmed up linearly, then lowered to 0 by a cosine.
        warmup_epochs: may be a fraction; one when absent, half of the training where that is less.
        momentum: of SGD.
        weight_decay: of SGD, or AdamW's decoupled one.
        gradient_clip_norm: the largest L2 norm of an update's gradient, which is a sum over its paths.
        ema_decay: of a moving average of the weights, which is then what is evaluated and kept; none when absent.
        precision: of forward and backward: ``fp32``, ``bf16`` or ``fp16`` autocast. Weights stay fp32.
        compile: with ``torch.compile``: a network as a whole, a supernet block by block.
        sync_batchnorm: BN statistics over the whole batch, where several processes train.
        keep: the weights of the ``last`` epoch, or of the ``best`` by validation accuracy.
        tensorboard: write the log for TensorBoard as well.
        seed: of weights, order, augmentation and paths.
        threads: of the CPU; as many as PyTorch would take when absent.
        device: ``cpu`` or ``cuda``. The promise that a resumed run ends in the same bytes holds on the CPU.
    """

    data: str
    corrupt_images: Literal["fail", "skip"] = "fail"
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    augment: Literal["none", "shift", "crop"] = "shift"
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    learner: Annotated[SerializeAsAny[LearnerConfig], BeforeValidator(partial(_section, "learner"))] = Field(
        default_factory=partial(_section, "learner", {})
    )
    task: Annotated[SerializeAsAny[TaskConfig], BeforeValidator(partial(_section, "task"))] = Field(
        default_factory=partial(_section, "task", {})
    )
    epochs: Count = 20
    batch: Annotated[int, Field(ge=2, le=10**9)] = 32
    accumulation: Count = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: _Positive = 0.2
    warmup_epochs: Annotated[float, Field(ge=0)] | None = None
    momentum: Fraction = 0.9
    weight_decay: Fraction = 1e-4
    gradient_clip_norm: _Positive = 20.0
    ema_decay: Fraction | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    sync_batchnorm: bool = False
    keep: Literal["last", "best"] = "last"
    tensorboard: bool = False
    seed: Annotated[int, Field(ge=0, le=LARGEST)] = 0
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and (problem := next(_unknown_keys(data), None)) is not None:
            raise ValueError(problem)
        if isinstance(data, dict) and "data" not in data:
            raise ValueError(f"'data' is missing; give {DATA}")
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        if self.batch // self.accumulation < 2:
            raise ValueError(f"accumulation {self.accumulation} leaves pieces of fewer than 2 of {self.batch} images")
        return self

    @property
    def warmup_share(self) -> float:
        """Of the training, in which the learning rate rises."""
        epochs = min(1.0, self.epochs / 2) if self.warmup_epochs is None else self.warmup_epochs
        return epochs / self.epochs

    def to_yaml(self) -> str:
        """All that applies, defaults included: what ``config.yaml`` of a run holds."""
        return yaml.safe_dump(self.plain(), sort_keys=False)


def read_config(path: Path) -> TrainConfig:
    """A configuration file.

    Raises:
        ConfigError: can't be read, an unknown key (it is told where it belongs, or which known one is nearest), or a
            value that makes no sense. Unknown keys are told first.
    """
    if os.path.isdir(path) or not os.path.exists(path):
        what = f"{path} is a folder" if os.path.isdir(path) else f"there is no file {path}"
        raise ConfigError(f"{what}; a training is asked for by its configuration, a .yaml file such as 'data: digits'")
    data = read_yaml(path, ConfigError)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines such as 'data: digits'")
    schema = data.get("schema")
    if isinstance(schema, str) and schema.startswith("hwnas-"):
        what = f"another file of hwnas ({schema:.80})"
        if schema.startswith("hwnas-latency-table/"):
            what = "a latency table; hwnas search takes it with --table"
        raise ConfigError(f"{path} isn't the configuration of a training, it is {what}")
    return validated(TrainConfig, data, path, ConfigError)


def _unknown_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with keys, at the top and in sections."""
    for name, mapping in [("", data), *((name, data.get(name)) for name in _SECTIONS)]:
        if not isinstance(mapping, dict):
            continue  # a section that is none is a wrong value, told where values are checked
        if name and not mapping:
            yield f"{name!r} is empty; leave it out for what is usual, or say its 'kind'"
        try:
            known = list((_kind(name, mapping) if name else TrainConfig).model_fields)
        except ConfigError as error:
            yield f"{name}: {error}"
            continue
        for key in mapping:
            if key not in known:
                yield f"unknown key {key!r}{f' in {name!r}' if name else ''}; {_hint(str(key), known)}"


def _homes() -> dict[str, list[str]]:
    """Key -> where it may stand, in words."""
    found: dict[str, list[str]] = {key: ["the top"] for key in TrainConfig.model_fields}
    for section, registry in _SECTIONS.items():
        for kind in registry.names():
            for key in registry.get(kind).Config.model_fields:
                found.setdefault(key, []).append(f"'{section}' of kind '{kind}'")
    return found


def _hint(key: str, known: list[str]) -> str:
    homes = _homes()
    if key in homes:
        return f"it is a key of {' or '.join(homes[key])}"
    if near := nearest(key, homes):
        elsewhere = "" if near in known else f", a key of {' or '.join(homes[near])}"
        return f"did you mean {near!r}{elsewhere}?"
    return f"known: {', '.join(known)}"
