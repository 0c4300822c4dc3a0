"""The gradient of an update that is a sum over paths: every path on one batch, in pieces where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from hwnas.evaluation.batchnorm import Forward

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Criterion(Protocol):
    """What is minimised. Both are means over a batch, so that a batch in pieces has the same."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """How far a network's outputs are from what its images show."""
        ...

    def compare(self, outputs: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """How far a network's outputs are from a teacher's."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainedPath:
    """What an update trains.

    Attributes:
        name: for messages.
        forward: x_NCHW -> outputs.
        taught: whether it learns from the output of the update's first path.
    """

    name: str
    forward: Forward
    taught: bool = False


def _plainly(loss: torch.Tensor) -> torch.Tensor:
    return loss


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How forward and backward passes are computed.

    Attributes:
        pieces: how many the batch goes through in. The gradient is that of the whole batch, but for BN, whose
            statistics are of a piece.
        precision: of forward passes: fp32, bf16 or fp16.
        scale: applied to each loss before its backward pass (of fp16).
    """

    pieces: int = 1
    precision: str = "fp32"
    scale: Callable[[torch.Tensor], torch.Tensor] = _plainly


_PLAINLY = Passes()


def accumulate(
    paths: Sequence[TrainedPath],
    x_NCHW: torch.Tensor,
    targets: torch.Tensor,
    criterion: Criterion,
    passes: Passes = _PLAINLY,
    *,
    distillation: float = 0.0,
    teacher: Forward | None = None,
) -> list[float]:
    """Add the gradient of each path's mean loss on one batch to ``.grad``; returns the losses.

    With strict-fair paths that is FairNAS's update (arXiv 1907.01845, algorithm 1): gradients of all paths are
    summed, and weights change once. A parameter that no path uses keeps ``grad`` None.

    Args:
        paths: what to train; all see the same images.
        x_NCHW: the batch.
        targets: what it shows, such as labels (N,) int64.
        criterion: the loss, and how outputs are compared with a teacher's.
        passes: how to compute.
        distillation: the teacher's share of the loss, in [0, 1], of paths that have a teacher.
        teacher: x_NCHW -> outputs that all paths learn from.
    """
    device, half = x_NCHW.device.type, _DTYPES.get(passes.precision)
    sums = [x_NCHW.new_zeros(()) for _ in paths]
    for x_piece, targets_piece in zip(x_NCHW.chunk(passes.pieces), targets.chunk(passes.pieces), strict=True):
        share = len(x_piece) / len(x_NCHW)
        with torch.autocast(device, half, enabled=half is not None):
            taught = None
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(x_piece)
            for index, path in enumerate(paths):
                outputs = path.forward(x_piece)
                learns = distillation > 0 and (teacher is not None or path.taught)
                value = _loss(criterion, outputs, targets_piece, taught if learns else None, distillation) * share
                with torch.autocast(device, enabled=False):
                    passes.scale(value).backward()  # type: ignore[no-untyped-call]
                sums[index] += value.detach()
                if index == 0 and teacher is None:
                    taught = outputs.detach()
    return [float(value) for value in torch.stack(sums).tolist()]


def _loss(
    criterion: Criterion, outputs: torch.Tensor, targets: torch.Tensor, taught: torch.Tensor | None, distillation: float
) -> torch.Tensor:
    if taught is None:
        return criterion.loss(outputs, targets)
    if distillation == 1:
        return criterion.compare(outputs, taught)
    return torch.lerp(criterion.loss(outputs, targets), criterion.compare(outputs, taught), distillation)
