"""The processes of one training, as ``torchrun`` starts them: nccl between GPUs, gloo between CPUs.

All processes draw the same paths, each takes its share of every batch, and gradients are averaged once an update, after
the backward of all its paths. ``DistributedDataParallel`` is made for one backward an update, while which it reduces.
Several need ``no_sync`` for all but the last, and ``find_unused_parameters``, which searches each path's graph for what
the path doesn't use. Without that flag gradients silently stay each process's own; older versions lost those of earlier
paths even with it (pytorch/pytorch issue 69031).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import torch
import torch.distributed as dist

from hwnas.errors import ConfigError, TrainingError

_FROM_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_BUCKET_BYTES = 25 * 2**20
"""As DistributedDataParallel: so large that starting a transfer costs nothing, yet small beside the gradients."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of one training, as one of them sees them. In a world of one nothing is exchanged.

    Attributes:
        device: what this process computes on.
        rank: this process's number.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Exactly one process is; it writes files and shows progress."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each ``.grad`` by its mean over all processes; a parameter without one is passed over.

        The result is the same to the bit on all processes.

        Raises:
            TrainingError: processes have gradients of different parameters, so they trained different paths.
        """
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters]
        if others := self._unlike_main(bytes(gradient is not None for gradient in gradients)):
            raise TrainingError(f"{others} trained other paths than process 0; start all anew with --resume")

        def average(flat: torch.Tensor) -> None:
            dist.all_reduce(flat)
            flat /= self.size

        _in_buckets([gradient for gradient in gradients if gradient is not None], average)

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all processes the main process's values, in place: ``module.state_dict().values()``, for example."""
        if self.size > 1:
            _in_buckets(list(tensors), lambda flat: dist.broadcast(flat, src=0))

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean of each value over all processes; NaN on all where it is NaN on one."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return [float(mean) for mean in (sums / self.size).tolist()]

    def check_same(self, what: str, text: str) -> None:
        """Make sure that all processes have the same ``text``, which ``what`` names in the message.

        Raises:
            ConfigError: they haven't, on all processes alike.
        """
        if self.size > 1 and (others := self._unlike_main(text.encode())):
            raise ConfigError(f"{what} of {others} isn't that of process 0; give all processes the same")

    def wait(self) -> None:
        """Return when every process has called this."""
        if self.size > 1:
            dist.barrier()

    def _unlike_main(self, own: bytes) -> str:
        """The processes that have something else than the main one, in words, if any; the same on all of them."""
        digest = torch.frombuffer(bytearray(sha256(own).digest()), dtype=torch.uint8).to(self.device)
        everyones = [torch.empty_like(digest) for _ in range(self.size)]
        dist.all_gather(everyones, digest)
        first, *others = torch.stack(everyones).tolist()
        ranks = [str(rank) for rank, other in enumerate(others, start=1) if other != first]
        return f"process{'es' if len(ranks) > 1 else ''} {', '.join(ranks)}" if ranks else ""


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
    return World(device=own, rank=rank, size=size)


def _natural(name: str) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"the environment has {name}={text!r}, not a number; start with torchrun, or unset it")
    return int(text)


@torch.no_grad()
def _in_buckets(tensors: Sequence[torch.Tensor], exchange: Callable[[torch.Tensor], object]) -> None:
    """Apply ``exchange``, which works in place, to ``tensors`` laid end to end: many small transfers cost more."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        exchange(flat)
        for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
            tensor.copy_(part.view(tensor.shape))  # in place, so that channels_last stays


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Groups of one dtype, each under ``_BUCKET_BYTES`` or of one tensor."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        bucket: list[torch.Tensor] = []
        total_bytes = 0
        for tensor in (tensor for tensor in tensors if tensor.dtype == dtype):
            if bucket and total_bytes + tensor.nbytes > _BUCKET_BYTES:
                yield bucket
                bucket, total_bytes = [], 0
            bucket.append(tensor)
            total_bytes += tensor.nbytes
        yield bucket
