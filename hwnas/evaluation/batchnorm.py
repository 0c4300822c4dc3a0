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
            norm._buffers.update({name: buffer.clone() for name, buffer in norm.named_buffers()})
        _estimate(modules, forward, batches)
        yield


@contextmanager
def unchanged(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, training flags, and momenta and buffers of BN may be replaced; afterwards they are back, however it ends.

    Buffers must be replaced by others, not written to.
    """
    flags = [(layer, layer.training) for module in modules for layer in module.modules()]
    norms = [(norm, norm.momentum, dict(norm._buffers)) for norm in norms_of(modules)]
    try:
        yield
    finally:
        for norm, momentum, buffers in norms:
            norm.momentum = momentum
            norm._buffers.update(buffers)
        for layer, training in flags:
            layer.training = training


def recalibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Give ``network`` the statistics of ``batches`` for good; it is in eval mode afterwards. See :func:`recalibrated`.

    Raises:
        DataError: there is no batch.
    """
    _estimate([network], network, batches)


def norms_of(modules: Sequence[nn.Module]) -> list[_BatchNorm]:
    """All BN layers in ``modules``."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, _BatchNorm)]


@torch.inference_mode()
def _estimate(modules: Sequence[nn.Module], forward: Forward, batches: Iterable[torch.Tensor]) -> None:
    norms = norms_of(modules)
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
        for module in modules:
            module.train()
        seen = 0
        for x_NCHW in batches:
            forward(x_NCHW)
            seen += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module in modules:
            module.eval()
    if not seen:
        raise DataError("BN recalibration needs at least one batch of images; give it some")
