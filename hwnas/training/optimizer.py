"""How weights move: the optimizer with a rate per place, the schedule, and a moving average."""

from __future__ import annotations

import importlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

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
    _import_without_a_folder()
    groups = [{"params": [p for module in place for p in module.parameters()]} for place in places]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay, foreach=True)
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True)


def _import_without_a_folder() -> None:
    """PyTorch's optimizers import its compiler, which makes a folder for it, be it never used, and leaves that."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    if name not in os.environ:
        os.environ[name] = tempfile.gettempdir()
        importlib.import_module("torch._dynamo")
        del os.environ[name]


def set_rates(optimizer: torch.optim.Optimizer, rate: float, terms: Sequence[float]) -> None:
    """Give each place its learning rate for an update in which each of its weights is in ``terms`` terms.

    Gradients of an update are sums of terms. Of a supernet's paths, stem and head lie on all of them, a choice on
    about one. SGD's rate is divided by that number where it is over 1, so that each weight moves by the mean gradient
    of the terms that it is in; at one rate for all, stem and head would move several times as fast as the choices
    between them. AdamW doesn't see a gradient's size, so there the rate is the same everywhere.
    """
    sgd = isinstance(optimizer, torch.optim.SGD)
    for group, number in zip(optimizer.param_groups, terms, strict=True):
        group["lr"] = rate / max(1.0, number) if sgd else rate


_RAMP = 10
"""Until so many times 1/(1 − decay) updates are done, the average forgets faster: it would remember random weights."""


class WeightAverage:
    """The exponential moving average of a module's floating-point state, BN statistics included.

    After update t (from 1) the average moves by 1 − min(decay, (1 + t) / (10 + t)) towards the weights.

    Args:
        module: whose state; the average starts there.
        decay: in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._live = {name: t for name, t in module.state_dict().items() if t.is_floating_point()}
        self._decay = decay
        self.tensors: dict[str, torch.Tensor] = {name: tensor.clone() for name, tensor in self._live.items()}

    def update(self, updates_done: int) -> None:
        """Move towards the module's state, after its ``updates_done``-th update."""
        decay = min(self._decay, (1 + updates_done) / (_RAMP + updates_done))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._live.values()), 1 - decay)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on with an average that :attr:`tensors` once was."""
        _copy(self.tensors, tensors)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module holds the average; afterwards its own state, to the bit."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        try:
            _copy(self._live, self.tensors)
            yield
        finally:
            _copy(self._live, own)


@torch.no_grad()
def _copy(into: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in into.items():
        tensor.copy_(tensors[name])
