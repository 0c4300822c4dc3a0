"""The processes of one training, as ``torchrun`` starts them: nccl between GPUs, gloo between CPUs.

All processes draw the same paths, each takes its share of every batch, and :mod:`hwnas.training.exchange` averages the
gradients.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hwnas.errors import ConfigError, TrainingError

_FROM_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of one training, as one of them sees them.

    Attributes:
        device: what this process computes on.
        rank: this process's number.
        size: how many there are.
        local_rank: this process's number on its machine.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Exactly one process is; it writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's part of ``batch`` (B, …): (B / size, …). All parts in rank order are the batch.

        Raises:
            ConfigError: the parts would differ in size, so their mean losses would have no plain mean.
        """
        if len(batch) % self.size:
            raise ConfigError(f"batch: {len(batch)} can't be shared evenly by {self.size} processes; take a multiple")
        part = len(batch) // self.size
        return batch[self.rank * part : (self.rank + 1) * part]


@contextmanager
def joined(device: str, timeout_seconds: float = 3600.0) -> Iterator[World]:
    """Inside, this process belongs to the training that ``torchrun`` started; without ``torchrun`` it is alone.

    Args:
        device: ``cpu`` or ``cuda``; with several processes each takes the GPU of its local rank.
        timeout_seconds: how long to wait for another process, at most: to come, and in each exchange. So it must be
            longer than what one process does while the others wait.

    Raises:
        ConfigError: the environment isn't what torchrun sets, or the machine has fewer GPUs than processes.
        TrainingError: another process stopped, hangs or never came.
    """
    world = _world(device)
    if world.size == 1:
        yield world
        return
    nccl = world.device.type == "cuda" and dist.is_nccl_available()  # on Windows it never is; gloo can do GPUs as well
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    try:
        dist.init_process_group(
            "nccl" if nccl else "gloo",
            timeout=timedelta(seconds=timeout_seconds),
            device_id=world.device if nccl else None,
        )
        yield world
    except Exception as error:
        if not _is_of_the_connection(error):
            _tell_torchrun(error)
            raise
        raise TrainingError(
            f"another process of this training stopped or didn't answer (this is number {world.rank} of "
            f"0 to {world.size - 1}); its own message says why, or it was killed; go on with --resume"
        ) from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()  # closes the connections, so that the others needn't wait for the timeout


def _is_of_the_connection(error: Exception) -> bool:
    """gloo's errors are plain RuntimeErrors that begin with a file of its source."""
    by_words = isinstance(error, RuntimeError) and ("/gloo/" in str(error) or "NCCL" in str(error))
    return by_words or isinstance(error, dist.DistError)


def _tell_torchrun(error: Exception) -> None:
    """Have the summary that torchrun ends with say what went wrong here, not only an exit status."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        told = {"message": f"{type(error).__name__}: {error}", "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(path).write_text(json.dumps({"message": told}), encoding="utf-8")


def _world(device: str) -> World:
    """What torchrun's environment says."""
    found = [name for name in _FROM_TORCHRUN if os.environ.get(name)]
    if not any(name in found for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")):
        return World(device=torch.device(device))
    if missing := [name for name in _FROM_TORCHRUN if name not in found]:
        raise ConfigError(
            f"the environment has {found[0]} but no {missing[0]}; start with torchrun, or unset {' '.join(found)}"
        )
    rank, size, local_rank, _ = (_natural(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    if not local_rank <= rank < size:
        raise ConfigError(
            f"the environment has RANK={rank} LOCAL_RANK={local_rank} WORLD_SIZE={size}, which can't be; "
            "start with torchrun"
        )
    if device == "cuda" and local_rank >= (gpus := torch.cuda.device_count()):
        raise ConfigError(f"process {local_rank} of this machine finds {gpus} GPUs; lower --nproc-per-node to {gpus}")
    own = torch.device(device, local_rank) if device == "cuda" else torch.device(device)
    return World(device=own, rank=rank, size=size, local_rank=local_rank)


def _natural(name: str) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"the environment has {name}={text!r}, not a number; start with torchrun, or unset it")
    return int(text)
