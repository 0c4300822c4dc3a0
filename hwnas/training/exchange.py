"""What the processes of one training tell each other. In a world of one, nothing here does anything.

Gradients are averaged once an update, after the backward of all its paths. ``DistributedDataParallel`` is made for one
backward an update: it reduces while that runs. Several need ``no_sync`` for all but the last, and
``find_unused_parameters``, which searches each path's graph for what the path doesn't use. Without that flag
gradients silently stay each process's own; older versions lost those of earlier paths even with it
(pytorch/pytorch issue 69031).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import torch
import torch.distributed as dist

from hwnas.errors import ConfigError, TrainingError
from hwnas.training.distributed import World

_BUCKET_BYTES = 25 * 2**20
"""As DistributedDataParallel: so large that starting a transfer costs nothing, yet small beside the gradients."""


def average_gradients(parameters: Iterable[torch.nn.Parameter], world: World) -> None:
    """Replace each ``.grad`` by its mean over all processes; a parameter without one is passed over.

    Once an update, after the backward of all paths (FairNAS, arXiv 1907.01845, algorithm 1: gradients of all paths are
    summed, and weights change once). The result is the same to the bit on all processes.

    Raises:
        TrainingError: processes have gradients of different parameters, so they trained different paths.
    """
    if world.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters]
    if others := _unlike_main(bytes(gradient is not None for gradient in gradients), world):
        raise TrainingError(f"{_processes(others)} trained other paths than process 0; start all anew with --resume")

    def average(flat: torch.Tensor) -> None:
        dist.all_reduce(flat)
        flat /= world.size

    _in_buckets([gradient for gradient in gradients if gradient is not None], average)


def broadcast(tensors: Iterable[torch.Tensor], world: World) -> None:
    """Give all processes the main process's values, in place: ``module.state_dict().values()``, for example."""
    if world.size > 1:
        _in_buckets(list(tensors), lambda flat: dist.broadcast(flat, src=0))


def mean_over(world: World, values: Sequence[float]) -> list[float]:
    """The mean of each value over all processes; NaN on all where it is NaN on one."""
    if world.size == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(sums)
    return [float(mean) for mean in (sums / world.size).tolist()]


def same_everywhere(world: World, what: str, text: str) -> None:
    """Make sure that all processes have the same ``text``, which ``what`` names in the message.

    Raises:
        ConfigError: they haven't, on all processes alike.
    """
    if world.size > 1 and (others := _unlike_main(text.encode(), world)):
        raise ConfigError(f"{what} of {_processes(others)} isn't that of process 0; give all processes the same")


def wait_for_all(world: World) -> None:
    """Return when every process has called this."""
    if world.size > 1:
        dist.barrier()


def _unlike_main(own: bytes, world: World) -> list[int]:
    """The processes that have something else than the main one; the same answer on all of them."""
    digest = torch.frombuffer(bytearray(sha256(own).digest()), dtype=torch.uint8).to(world.device)
    everyones = [torch.empty_like(digest) for _ in range(world.size)]
    dist.all_gather(everyones, digest)
    digests = torch.stack(everyones).tolist()
    return [rank for rank, other in enumerate(digests) if other != digests[0]]


def _processes(ranks: Sequence[int]) -> str:
    return f"process{'es' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


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
