"""`Stem`: what every network of the shipped spaces begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class Stem(Block):
    """conv 3×3 to ``width``, BN, act; then, if ``separable``, depthwise 3×3, BN, act, 1×1 to ``c_out``, BN."""

    kind: ClassVar[str] = "stem"
    width: int
    stride: int
    separable: bool
    act: str

    def expand(self) -> Graph:
        net = self.draft()
        y = net.conv("conv.0", net.input, self.width, 3, self.stride)
        y = net.act("conv.2", net.norm("conv.1", y), self.act)
        if self.separable:
            y = net.conv("separable.0", y, self.width, 3, groups=self.width)
            y = net.act("separable.2", net.norm("separable.1", y), self.act)
            y = net.norm("separable.4", net.conv("separable.3", y, self.c_out))
        return net.graph(y)

    @property
    def label(self) -> str:
        return f"stem, stride {self.stride}" if self.stride > 1 else "stem"

    def _details(self) -> str:
        return f" w{self.width} s{self.stride}{' separable' if self.separable else ''} {self.act}"
