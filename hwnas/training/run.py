"""The run folder of a training.

config.yaml              the configuration with its defaults
data.json                what the data set was like; a resumed run wants it the same
log.jsonl                one line per epoch
tensorboard/             the same for TensorBoard, if wanted
checkpoint.safetensors   where to go on; see hwnas.training.checkpoint
best.safetensors         the weights of the best epoch
supernet.safetensors, supernet.json    the result: a supernet …
model/                                 … or one network, as a MODEL folder
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from hwnas.data.load import Data, load_data
from hwnas.errors import CheckpointError, ConfigError, DataError, OutputError
from hwnas.files import read_json, read_yaml, refuse_existing, to_json, validated, write_atomic
from hwnas.nn.network import load_strictly
from hwnas.nn.supernet import Supernet
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig


class SupernetInfo(BaseModel):
    """What ``supernet.json`` holds.

    Attributes:
        space, resolution, classes: what ``get_space`` takes.
        space_sha256: ``Space.fingerprint``.
        stabilizers: whether there is one on every skip.
        data, held_out, corrupt_images: what ``load_data`` takes.
        data_sha256: ``Data.fingerprint``.
        labels: class names in the order of the outputs.
        preprocessing: from an image file to the input.
        accuracy: inherited accuracy on the validation part of a few archs, in [0, 1].
        weights_sha256: of ``supernet.safetensors``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[Literal["hwnas-supernet/1"], Field(alias="schema")] = "hwnas-supernet/1"
    space: str
    resolution: int
    classes: int
    space_sha256: str
    stabilizers: bool
    data: str
    held_out: float
    corrupt_images: Literal["fail", "skip"] = "fail"
    data_sha256: str
    labels: tuple[str, ...]
    preprocessing: dict[str, Any]
    accuracy: dict[str, float]
    weights_sha256: str


@dataclass(frozen=True)
class TrainedSupernet:
    """A supernet and what is known of it."""

    supernet: Supernet
    info: SupernetInfo

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
        data = load_data(
            self.info.data, self.info.resolution, held_out=self.info.held_out, corrupt=self.info.corrupt_images,
            resize_px=self.info.preprocessing.get("resize_px"),
        )  # fmt: skip
        if data.fingerprint != self.info.data_sha256:
            raise DataError(f"{self.info.data} has changed since the supernet was trained on it; train it anew")
        return data


def check_run(run: Path, config: TrainConfig, resume: bool) -> None:
    """Check that the run folder can be made, or that the one that is there was begun with ``config``.

    Raises:
        OutputError: it exists and isn't to be resumed, or can't be made.
        ConfigError: it was begun with another configuration.
    """
    path = run / "config.yaml"
    if not resume:
        refuse_existing(run)
    elif path.exists():
        begun = read_yaml(path, ConfigError)
        wanted = yaml.safe_load(config.to_yaml())
        changed = [k for k in wanted if not isinstance(begun, dict) or k not in begun or begun[k] != wanted[k]]
        if changed or begun.keys() != wanted.keys():
            key = changed[0] if changed else sorted(begun.keys() - wanted.keys())[0]
            raise ConfigError(f"{path}: the run was begun with another {key!r}; resume with the same, or train anew")


def check_data(run: Path, data: Data) -> None:
    """Check that the data set is the one that the run was begun with.

    Raises:
        DataError: it has other classes, another number of images, or other images.
    """
    path = run / "data.json"
    if not path.exists():
        return
    begun, now = read_json(path, DataError), _described(data)
    if not isinstance(begun, dict) or begun.keys() != now.keys():
        raise DataError(f"{path} isn't hwnas's; restore it, or train anew")
    for what, value in now.items():
        if begun[what] != value:
            raise DataError(
                f"{data.spec} isn't what {run} was begun with: other {what}{_difference(begun[what], value)}; "
                "restore it, or train anew"
            )


def _difference(before: Any, now: Any) -> str:
    """In few words, however many classes there are."""
    if isinstance(now, list):
        odd = sorted(set(map(str, before)) ^ set(now))
        return f", such as {odd[0]!r}" if odd else " in another order"
    return f": {before}, now {now}" if isinstance(now, int) else ""


def _described(data: Data) -> dict[str, Any]:
    return {
        "classes": list(data.classes),
        "train images": len(data.train.labels),
        "validation images": len(data.validation.labels),
        "test images": len(data.test.labels),
        "sha256": data.fingerprint,
    }


def open_run(run: Path, config: TrainConfig, data: Data) -> None:
    """Make the run folder, where it isn't there.

    Raises:
        OutputError: it can't be made.
    """
    path = run / "config.yaml"
    if path.exists():
        return
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't make {run}: {error.strerror}") from None
    write_atomic(run / "data.json", to_json(_described(data)))
    write_atomic(path, config.to_yaml())


class BestWeights:
    """``best.safetensors`` of a run."""

    def __init__(self, run: Path) -> None:
        self._path = run / "best.safetensors"

    def save(self, module: nn.Module, epoch: int, accuracy: float) -> None:
        """Keep ``module``'s weights, those of ``epoch``."""
        state = {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
        # one entry: safetensors writes several in an order that changes from process to process
        header = {"hwnas-best/1": json.dumps({"epoch": epoch, "validation_accuracy": accuracy})}
        write_atomic(self._path, save(state, header))

    def load(self, module: nn.Module) -> None:
        """Put them into ``module``.

        Raises:
            CheckpointError: the file can't be read or is of another network.
        """
        try:
            state = load(self._path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self._path} can't be read: {error}; train anew") from None
        load_strictly(module, state, str(self._path))


def write_log(run: Path, entry: dict[str, Any]) -> None:
    """Add an epoch's line to ``log.jsonl``, in place of any of this or a later epoch (of a run that was killed)."""
    path = run / "log.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["epoch"] < entry["epoch"]]
    write_atomic(path, "".join(f"{line}\n" for line in [*kept, json.dumps(entry, allow_nan=False)]))


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; empty where no epoch was finished."""
    path = run / "log.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def save_supernet(run: Path, supernet: Supernet, data: Data, config: TrainConfig, accuracy: dict[str, float]) -> None:
    """Write the final files; ``supernet.json`` comes last and says that the other is whole."""
    state = {name: tensor.cpu().contiguous() for name, tensor in supernet.state_dict().items()}
    weights = save(state)
    space = supernet.space
    info = SupernetInfo(
        space=space.source, resolution=space.resolution, classes=space.classes, space_sha256=space.fingerprint,
        stabilizers=supernet.space.inherits, data=data.spec, held_out=config.held_out,
        corrupt_images=config.corrupt_images, data_sha256=data.fingerprint,
        labels=data.classes, preprocessing=data.preprocessing, accuracy=accuracy,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )  # fmt: skip
    write_atomic(run / "supernet.safetensors", weights)
    write_atomic(run / "supernet.json", to_json(info.model_dump(mode="json", by_alias=True)))


def read_supernet_info(run: Path) -> SupernetInfo:
    """What is known of the supernet of a finished run.

    Raises:
        CheckpointError: there is none.
    """
    path = run / "supernet.json"
    if not path.exists():
        raise CheckpointError(f"{run} holds no finished supernet; train one there, or finish it with --resume")
    return validated(SupernetInfo, read_json(path, CheckpointError), path, CheckpointError)


def load_supernet(run: Path) -> TrainedSupernet:
    """The supernet of a finished run, in eval mode.

    Raises:
        CheckpointError: there is none, its space is another now, or its weights were altered or don't fit.
        SpaceError: its space can't be made any more.
    """
    info = read_supernet_info(run)
    space = get_space(info.space, info.resolution, info.classes)
    if space.fingerprint != info.space_sha256:
        raise CheckpointError(f"{run}: the space {info.space} has changed since the supernet was trained; train anew")
    path = run / "supernet.safetensors"
    try:
        weights = path.read_bytes()
        state: dict[str, torch.Tensor] = load(weights)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} isn't a safetensors file: {error}") from None
    if hashlib.sha256(weights).hexdigest() != info.weights_sha256:
        raise CheckpointError(f"{path} isn't the file that supernet.json describes: its hash differs; train anew")
    supernet = Supernet(space.inheriting() if info.stabilizers else space)
    load_strictly(supernet, state, str(path))
    return TrainedSupernet(supernet.eval(), info)
