"""A moving average of weights, which is often better than the last ones (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

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
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module holds the average; afterwards its own state, to the bit."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        try:
            self._write(self.tensors)
            yield
        finally:
            self._write(own)

    def _write(self, tensors: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, live in self._live.items():
                live.copy_(tensors[name])
