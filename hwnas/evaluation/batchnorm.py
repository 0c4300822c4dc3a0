"""BN recalibration: running statistics of one path, which the shared ones of a supernet can't be.

The statistics that a supernet gathers while it trains mix all paths. Before a path is evaluated or derived,
they are computed anew from a few batches (SPOS, arXiv 1904.00420, §3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.errors import DataError

FEW = 128
"""Images. On digits statistics of 64 moved inherited accuracies by a point, those of 16 by four, of 1 by forty."""

Forward = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def recalibrated(modules: Sequence[nn.Module], forward: Forward, batches: Iterable[torch.Tensor]) -> Iterator[None]:
    """Inside, ``modules`` are in eval mode with statistics of ``batches``; afterwards all is as it was, to the bit.

    Each running mean (variance) becomes the average of the batches' means (unbiased variances), each batch
    counting the same; so give batches of one size.

    Args:
        modules: whose BN layers; a path of a supernet (``supernet.path(arch)``) or ``[network]``.
        forward: x_NCHW -> anything, through these modules.
        batches: normalised x_NCHW.

    Raises:
        DataError: there is no batch.
    """
    with unchanged(modules):
        for norm in norms_of(modules):
            norm._buffers.update(fresh_statistics(norm))
            norm.momentum = None  # a plain average over the batches
        for module in modules:
            module.train()
        seen = 0
        with torch.inference_mode():
            for x_NCHW in batches:
                forward(x_NCHW)
                seen += 1
        if not seen:
            raise DataError("BN recalibration needs at least one batch of images; give it some")
        for module in modules:
            module.eval()
        yield


@contextmanager
def unchanged(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, training flags, and BN's momenta, tracking and buffers may be replaced; afterwards they are back.

    Buffers must be replaced by others, not written to.
    """
    flags = [(layer, layer.training) for module in modules for layer in module.modules()]
    norms = [(norm, norm.momentum, norm.track_running_stats, dict(norm._buffers)) for norm in norms_of(modules)]
    try:
        yield
    finally:
        for norm, momentum, tracking, buffers in norms:
            norm.momentum, norm.track_running_stats = momentum, tracking
            norm._buffers.update(buffers)
        for layer, training in flags:
            layer.training = training


def norms_of(modules: Sequence[nn.Module]) -> list[_BatchNorm]:
    """All BN layers in ``modules``."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, _BatchNorm)]


def fresh_statistics(norm: _BatchNorm) -> dict[str, torch.Tensor]:
    """Buffers that have seen no batch, as ``reset_running_stats`` sets them."""
    return {name: torch.full_like(old, name == "running_var") for name, old in norm.named_buffers()}
