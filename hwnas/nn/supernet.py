"""`Supernet`: every choice of every layer with its own weights; an arch is a path through them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hwnas.errors import SpaceError, whole
from hwnas.graph.graph import Op
from hwnas.nn.layers import build, initialize, quiet_residuals
from hwnas.nn.network import choices_of
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace


class Supernet(nn.Module):
    """All networks of a space in one, one path at a time (SCARLET-NAS §3; single path as in SPOS §3.2).

    The path is an argument of ``forward``; the module holds no active arch.

    Args:
        space: what to hold. In ``space.inheriting()`` every skip is a learnable 1×1 convolution, a stabilizer; in a
            plain space skips are identities.
        seed: of the fresh weights.

    Raises:
        SpaceError: a plug-in's space that is no chain of layers.
    """

    def __init__(self, space: ChainSpace, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(space, ChainSpace):
            raise SpaceError(f"a supernet takes a chain of layers, which {space.name} isn't; give another space")
        self.space = space
        with torch.device("meta"):  # so that torch's global generator isn't touched
            self.stem = build(space.stem)
            self.layers = nn.ModuleList(nn.ModuleList(map(self._choice, choices)) for choices in space.layers)
            self.head = build(space.head)
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(whole("seed", seed))
        blocks = [self.stem, *(block for layer in self.layers for block in layer.children()), self.head]
        ops = [space.stem, *(op for choices in space.layers for op in choices), space.head]
        for block, op in zip(blocks, ops, strict=True):
            initialize(block, op, generator)
            quiet_residuals(block, op)

    def _choice(self, op: Op) -> nn.Module:
        return nn.Identity() if op.skips and not self.space.inherits else build(op)

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
