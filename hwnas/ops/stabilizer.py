"""`Stabilizer`: the equivariant learnable stabilizer (ELS) of SCARLET-NAS, a skip that can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class Stabilizer(Block):
    """The skip of a choice layer: a learnable 1×1 convolution, no bias, no BN (SCARLET-NAS §3.2).

    It is linear, so next to another linear layer it adds no capacity and folds into it; see
    :mod:`hwnas.space.transitions`. A plain network has none.
    """

    kind: ClassVar[str] = "stabilizer"
    skips: ClassVar[bool] = True
    starts_as_identity: ClassVar[bool] = True

    def expand(self) -> Graph:
        net = self.draft()
        return net.graph(net.conv("", net.input, self.c_out))
