"""`Head`: what turns features into classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class Head(Block):
    """1×1 convolution to ``width``, BN, act, global average pooling, linear layer to ``c_out`` classes."""

    kind: ClassVar[str] = "head"
    width: int
    act: str

    def expand(self) -> Graph:
        net = self.draft()
        y = net.norm("conv.1", net.conv("conv.0", net.input, self.width))
        y = net.flatten("flatten", net.pool("pool", net.act("conv.2", y, self.act)))
        return net.graph(net.linear("classifier", y, self.c_out))

    @property
    def label(self) -> str:
        return f"head, {self.width} wide"

    @property
    def caption(self) -> str:
        return f"{self.width} wide"

    def _details(self) -> str:
        return f" w{self.width} {self.act}"
