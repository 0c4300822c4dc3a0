"""Batch normalization over the batches of all processes of a training, on any backend.

torch's ``SyncBatchNorm`` does it on GPUs only, so what it does couldn't be tried or tested on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import batch_norm

_ALL_BUT_CHANNELS = (0, 2, 3)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` as if all processes' batches were one, which may differ in their number of images.

    In training mode, forward and backward exchange statistics, so all processes must run the same layers in the same
    order. In eval mode, in a world of one, and without gradients (so that one process can recalibrate alone) it is
    ``nn.BatchNorm2d``. The weights' gradients are of the process's own loss, to be averaged with the others'.
    Affine and with running statistics, as all BN layers of hwnas are.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """x_NCHW -> same shape."""
        together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not (together and self.training and torch.is_grad_enabled()):
            return super().forward(input)
        mean, var, count = _statistics(input.detach())
        self._track(mean, var * (count / (count - 1)))
        y: torch.Tensor = _Normalize.apply(input, self.weight, self.bias, mean, var, count, self.eps)  # type: ignore[no-untyped-call]
        return y

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, unbiased_var: torch.Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(unbiased_var.to(self.running_var), share)


def synchronise_batchnorm(module: nn.Module) -> None:
    """Make every ``nn.BatchNorm2d`` in ``module`` a :class:`SyncedBatchNorm2d`, with the same tensors and names."""
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SyncedBatchNorm2d


def _statistics(x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean (C,), biased variance (C,) and number of values of a channel, over all processes.

    Each process's own variance is about its own mean, and they are merged in float64 (Chan et al., "Updating formulae
    and a pairwise algorithm for computing sample variances", 1979): sums of squares would lose all digits where the
    mean is much larger than the spread.
    """
    channels = x_NCHW.shape[1]
    precision = torch.promote_types(x_NCHW.dtype, torch.float32)
    own_var, own_mean = torch.var_mean(x_NCHW.to(precision), _ALL_BUT_CHANNELS, correction=0)
    own_count = own_mean.new_full((1,), x_NCHW.numel() / channels)
    own = torch.cat([own_mean, own_var, own_count]).double()
    everyones = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, own)
    means, variances, counts = torch.split(torch.stack(everyones), [channels, channels, 1], dim=1)  # a row per process
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    var = (counts * (variances + (means - mean).square())).sum(0) / count
    return mean.to(precision), var.to(precision), count.to(precision)


class _Normalize(torch.autograd.Function):
    """Batch normalization by given statistics, differentiated as what they are: functions of all processes' inputs.

    The gradient is the one of the paper (arXiv 1502.03167, §3), its sums taken over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_NCHW: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        var: torch.Tensor,
        count: torch.Tensor,
        eps: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x_NCHW, weight, mean, var, count)
        ctx.eps = eps
        return batch_norm(x_NCHW, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x_NCHW, weight, mean, var, count = ctx.saved_tensors
        scale = (var + ctx.eps).rsqrt()
        dy = gradients[0].to(mean.dtype)
        normalized = (x_NCHW - _per_channel(mean)) * _per_channel(scale)
        own = torch.stack([dy.sum(_ALL_BUT_CHANNELS), (dy * normalized).sum(_ALL_BUT_CHANNELS)])  # (2, C)
        everyones = own.clone()
        dist.all_reduce(everyones)
        mean_dy, mean_dy_normalized = everyones / count
        dx = dy - _per_channel(mean_dy) - normalized * _per_channel(mean_dy_normalized)
        dx = dx * _per_channel(scale * weight)
        return dx.to(x_NCHW.dtype), own[1].to(weight.dtype), own[0].to(weight.dtype), None, None, None, None


def _per_channel(values_C: torch.Tensor) -> torch.Tensor:
    return values_C.view(1, -1, 1, 1)
