"""The gradient of one update: every path on one batch, in parts where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hwnas.evaluation.batchnorm import Forward
from hwnas.training.loss import Loss

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class TrainedPath:
    """What an update trains.

    Attributes:
        name: for messages.
        forward: x_NCHW -> logits.
        taught: whether it learns from the output of the update's first path.
    """

    name: str
    forward: Forward
    taught: bool = False


def _plainly(loss: torch.Tensor) -> torch.Tensor:
    return loss


def accumulate(
    paths: Sequence[TrainedPath],
    x_NCHW: torch.Tensor,
    labels: torch.Tensor,
    loss: Loss,
    *,
    parts: int = 1,
    teacher: Forward | None = None,
    precision: str = "fp32",
    scale: Callable[[torch.Tensor], torch.Tensor] = _plainly,
) -> list[float]:
    """Add the gradient of each path's mean loss on one batch to ``.grad``; returns the losses.

    With strict-fair paths that is FairNAS's update (arXiv 1907.01845, algorithm 1): gradients of all paths are
    summed, and weights change once. A parameter that no path uses keeps ``grad`` None.

    Args:
        paths: what to train; all see the same images.
        x_NCHW: the batch.
        labels: (N,) int64.
        loss: of logits, labels and a teacher's logits.
        parts: how many pieces the batch goes through in. The gradient is that of the whole batch, but for BN, whose
            statistics are of a piece.
        teacher: x_NCHW -> logits that all paths learn from.
        precision: of forward passes: fp32, bf16 or fp16.
        scale: applied to each loss before its backward pass (of fp16).
    """
    device, half = x_NCHW.device.type, _DTYPES.get(precision)
    sums = [x_NCHW.new_zeros(()) for _ in paths]
    for x_part, labels_part in zip(x_NCHW.chunk(parts), labels.chunk(parts), strict=True):
        share = len(x_part) / len(x_NCHW)
        with torch.autocast(device, half, enabled=half is not None):
            taught = None
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(x_part)
            for index, path in enumerate(paths):
                logits = path.forward(x_part)
                value = loss(logits, labels_part, taught if teacher is not None or path.taught else None) * share
                with torch.autocast(device, enabled=False):
                    scale(value).backward()  # type: ignore[no-untyped-call]
                sums[index] += value.detach()
                if index == 0 and teacher is None:
                    taught = logits.detach()
    return [float(value) for value in torch.stack(sums).tolist()]
