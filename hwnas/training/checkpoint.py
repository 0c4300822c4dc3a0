"""A training, frozen: weights, optimizer state and position in one safetensors file, the position in its header.

It is written whole or not at all, so they can't come apart, however a run is killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from hwnas.errors import CheckpointError
from hwnas.files import plain_file, validated, write_atomic
from hwnas.nn.network import load_strictly, unusable
from hwnas.parse import parse_json
from hwnas.record import Record
from hwnas.training.optimizer import WeightAverage

_SCHEMA = "hwnas-checkpoint/3"
_WEIGHT, _AVERAGE, _OPTIMIZER = "weight.", "average.", "optimizer."


class Position(Record):
    """How far a training has come.

    Attributes:
        fingerprint: of the learner.
        epoch, step: the next ones to do.
        loss_sum: of the steps of this epoch that are done.
        best: the highest validation accuracy of an epoch so far.
        threads: of the CPU; another count adds up floating-point numbers in another order.
        learner: what decides its updates to come; None where nothing does.
        scaler: state of the loss scaler of fp16.
    """

    fingerprint: str
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    threads: int
    learner: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None


def save_checkpoint(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    position: Position,
) -> None:
    """Write weights, their average, the optimizer's tensors and the position.

    Raises:
        OutputError: the folder isn't writable or the disk is full.
    """
    states = {
        f"{key}.{name}": value
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }
    averages = {} if average is None else average.tensors
    tensors = _prefixed(_WEIGHT, module.state_dict()) | _prefixed(_AVERAGE, averages) | _prefixed(_OPTIMIZER, states)
    write_atomic(path, save(tensors, {_SCHEMA: json.dumps(position.plain())}))


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def load_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None, fingerprint: str
) -> Position:
    """Put everything back where it was; returns the position.

    Raises:
        CheckpointError: the file can't be read, is of another schema, or of another space or network; a tensor of the
            average or the optimizer is unusable.
    """
    try:
        with safe_open(plain_file(path, CheckpointError), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError, KeyError) as error:  # a KeyError is of a type that PyTorch hasn't
        raise CheckpointError(f"{path} isn't a checkpoint of a training: {error}; train anew") from None
    if _SCHEMA not in header:
        found = next((key for key in header if key.startswith("hwnas-")), "none of hwnas's")
        raise CheckpointError(f"{path}: its schema is {found}, this version reads {_SCHEMA}; train anew")
    header_data = parse_json(header[_SCHEMA], f"{path}: header", CheckpointError)
    position = validated(Position, header_data, f"{path}: header", CheckpointError)
    if position.fingerprint != fingerprint:
        raise CheckpointError(f"{path} is of another space or network than the configuration's; train anew")
    weights, averages, states = (_of(prefix, tensors) for prefix in (_WEIGHT, _AVERAGE, _OPTIMIZER))
    load_strictly(module, weights, str(path))
    if average is not None:
        own = average.tensors
        if own.keys() != averages.keys():
            name = min(own.keys() ^ averages.keys())
            raise CheckpointError(f"{path}: tensor {_AVERAGE + name!r} is missing or extra; train anew")
        for name, tensor in averages.items():
            _check(path, _AVERAGE + name, tensor, own[name])
        average.restore(averages)
    parameters = dict(module.named_parameters())
    for full_name, tensor in states.items():
        key, _, name = full_name.partition(".")
        if name not in parameters:
            raise CheckpointError(f"{path}: tensor {_OPTIMIZER + full_name!r} is of no weight; train anew")
        parameter = parameters[name]
        _check(path, _OPTIMIZER + full_name, tensor, parameter if tensor.dim() else tensor.new_zeros(()))
        # a count of steps is a scalar on the CPU; the others lie where and how the parameter lies
        like = torch.empty_like(parameter).copy_(tensor).detach() if tensor.shape == parameter.shape else tensor
        optimizer.state[parameter][key] = like
    return position


def _check(path: Path, name: str, tensor: torch.Tensor, own: torch.Tensor) -> None:
    if problem := unusable(name, tensor, own):
        raise CheckpointError(f"{path}: tensor {name!r} {problem}; train anew")


def _of(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
