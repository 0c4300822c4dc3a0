"""`Supernet`: every choice of every layer with its own weights; an arch is a path through them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hwnas.nn.blocks import build, initialize, quiet_residuals
from hwnas.space.arch import Arch
from hwnas.space.op import Stabilizer
from hwnas.space.space import Space


def choices_of(space: Space, arch: Arch | Sequence[int]) -> tuple[int, ...]:
    """The choice indices of ``arch``, checked against ``space``.

    Raises:
        ArchError: not an arch of this space.
    """
    (row,) = space.check(arch.choices if isinstance(arch, Arch) else arch)
    return tuple(int(choice) for choice in row)


class Supernet(nn.Module):
    """All networks of a space in one, one path at a time (SCARLET-NAS §3; single path as in SPOS §3.2).

    The path is an argument of ``forward``; the module holds no active arch.

    Args:
        space: what to hold.
        stabilizers: a learnable 1×1 convolution on every skip; without, skips are plain identities.
        seed: of the fresh weights.
    """

    def __init__(self, space: Space, *, stabilizers: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.stabilizers = stabilizers
        with torch.device("meta"):  # so that torch's global generator isn't touched
            self.stem = build(space.stem)
            self.layers = nn.ModuleList(
                nn.ModuleList(
                    nn.Identity() if isinstance(op, Stabilizer) and not stabilizers else build(op) for op in choices
                )
                for choices in space.layers
            )
            self.head = build(space.head)
        self.to_empty(device="cpu")
        initialize(self, torch.Generator().manual_seed(seed))
        quiet_residuals(self)

    def path(self, arch: Arch | Sequence[int]) -> list[nn.Module]:
        """The modules that ``arch`` uses, in order, its skips among them.

        Raises:
            ArchError: not an arch of this space.
        """
        choices = choices_of(self.space, arch)
        return [self.stem, *(self.block(layer, choice) for layer, choice in enumerate(choices)), self.head]

    def block(self, layer: int, choice: int) -> nn.Module:
        """The module of one choice."""
        return self.get_submodule(f"layers.{layer}.{choice}")

    def forward(self, x: torch.Tensor, arch: Arch | Sequence[int]) -> torch.Tensor:
        """x_NCHW -> logits (N, classes) of the path of ``arch``."""
        for module in self.path(arch):
            x = module(x)
        return x
