"""A block of one's own: a bottleneck with a grouped convolution (ResNeXt, arXiv 1611.05431, §3), and a space of it.

All that hwnas asks of a block is which primitives compute it. It is counted, built, trained, profiled, predicted,
written to ONNX, checked and drawn from that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph, Op
from hwnas.ops import Block, Stabilizer, Stem
from hwnas.space.chain import ChainSpace, Stage, assemble


@dataclass(frozen=True, kw_only=True)
class Bottleneck(Block):
    """1×1 to half the channels, grouped 3×3, 1×1; with a residual where the shape stays."""

    kind: ClassVar[str] = "bottleneck"
    stride: int
    groups: int

    def expand(self) -> Graph:
        net, width = self.draft(), self.c_out // 2
        y = net.act("act1", net.norm("bn1", net.conv("conv1", net.input, width)), "relu")
        y = net.conv("conv2", y, width, kernel=3, stride=self.stride, groups=self.groups)
        y = net.norm("bn3", net.conv("conv3", net.act("act2", net.norm("bn2", y), "relu"), self.c_out))
        keeps_shape = self.stride == 1 and self.c_in == self.c_out
        return net.graph(net.add("add", net.input, y) if keeps_shape else y)

    @property
    def short(self) -> str:
        return f"g{self.groups}"


def choices(c_in: int, size: int, c_out: int, stride: int) -> tuple[Op, ...]:
    """Of each layer: bottlenecks of 1, 2 and 4 groups, and a skip where the layer keeps its shape."""
    shape = {"c_in": c_in, "h_in": size, "w_in": size, "c_out": c_out}
    blocks = (*(Bottleneck(**shape, stride=stride, groups=groups) for groups in (1, 2, 4)),)
    return (*blocks, Stabilizer(**shape)) if (c_in, stride) == (c_out, 1) else blocks


def bottlenecks(resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """Register it in your package: entry point group ``hwnas.spaces``, ``bottlenecks = "module:bottlenecks"``."""
    size = resolution or 16
    stem = Stem(c_in=3, h_in=size, w_in=size, c_out=8, width=8, stride=1, separable=False, act="relu")
    stages = [Stage(c_out=16, layers=2, stride=2), Stage(c_out=32, layers=2, stride=2)]
    return assemble(
        name="bottlenecks", source="bottlenecks", stem=stem, stages=stages, choices=choices, head_width=64,
        classes=classes or 10, act="relu",
    )  # fmt: skip
