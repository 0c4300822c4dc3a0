"""The optimizer: parameters by place, the schedule, and one rate per place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from hwnas.training.config import TrainConfig


def learning_rate_at(done: float, warmup: float, peak: float) -> float:
    """Linear from 0 over ``warmup``, then a half cosine to 0 (SGDR, arXiv 1608.03983, eq. 5); shares of all updates."""
    if done < warmup:
        return peak * done / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def make_optimizer(config: TrainConfig, places: Sequence[Sequence[nn.Module]]) -> torch.optim.Optimizer:
    """SGD or AdamW with one parameter group per place.

    Both pass over parameters whose gradient is None, so momentum and weight decay leave choices alone that no path
    of an update used.
    """
    groups = [{"params": [p for module in place for p in module.parameters()]} for place in places]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay, foreach=True)
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True)


def set_rates(optimizer: torch.optim.Optimizer, rate: float, paths: Sequence[float]) -> None:
    """Give each place its learning rate for an update in which ``paths`` paths lie on each of its weights.

    Gradients of an update are sums over its paths. Stem and head lie on all of them, a choice on about one. SGD's
    rate is divided by that number where it is over 1, so that each weight moves by the mean gradient of the paths
    that use it; at one rate for all, stem and head would move several times as fast as the choices between them. AdamW
    doesn't see a gradient's size, so there the rate is the same everywhere.
    """
    sgd = isinstance(optimizer, torch.optim.SGD)
    for group, number in zip(optimizer.param_groups, paths, strict=True):
        group["lr"] = rate / max(1.0, number) if sgd else rate
