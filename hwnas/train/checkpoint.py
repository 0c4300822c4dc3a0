"""A training, frozen: weights, optimizer state and position in one file, written whole or not at all.

One safetensors file; what isn't a tensor is JSON in its header. So weights and position can't come apart, however
a run is killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from hwnas.errors import CheckpointError
from hwnas.files import write_atomic
from hwnas.nn.derive import load_strictly

_HEADER = "hwnas-checkpoint/1"
_WEIGHT, _MOMENTUM = "weight.", "momentum."


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a training has come.

    Attributes:
        epoch, step: the next ones to do.
        loss_sum: of the steps of this epoch that are done.
        threads: of the CPU; another count adds up floating-point numbers in another order.
        paths: state of the path sampler; None when one network is trained.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    threads: int
    paths: dict[str, Any] | None = None


def save_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD, position: Position) -> None:
    """Write weights, momenta and position.

    Raises:
        OutputError: the folder isn't writable or the disk is full.
    """
    momenta = {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in module.named_parameters()
        if optimizer.state.get(parameter, {}).get("momentum_buffer") is not None
    }
    tensors = _prefixed(_WEIGHT, module.state_dict()) | _prefixed(_MOMENTUM, momenta)
    write_atomic(path, save(tensors, {_HEADER: json.dumps(asdict(position))}))


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def load_checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.SGD) -> Position:
    """Put weights and momenta back where they were; returns the position.

    Raises:
        CheckpointError: the file can't be read, or is of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            position = Position(**json.loads((file.metadata() or {})[_HEADER]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} isn't a checkpoint of a training: {error}; train anew") from None
    weights, momenta = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in (_WEIGHT, _MOMENTUM)
    )
    load_strictly(module, weights, str(path))
    for name, parameter in module.named_parameters():
        if name in momenta:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momenta[name]).detach()
    return position
