"""`Downsample`: what stands for an identity where the shape changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class Downsample(Block):
    """The "identity" of a layer that changes shape (NAS-Bench-Macro): 1×1 strided convolution, BN."""

    kind: ClassVar[str] = "downsample"
    stride: int

    def expand(self) -> Graph:
        net = self.draft()
        return net.graph(net.norm("bn", net.conv("conv", net.input, self.c_out, stride=self.stride)))

    @property
    def label(self) -> str:
        return f"downsample, stride {self.stride}" if self.stride > 1 else "downsample"

    @property
    def short(self) -> str:
        return self.kind

    @property
    def caption(self) -> str:
        return self.kind

    def _details(self) -> str:
        return f" s{self.stride}"
