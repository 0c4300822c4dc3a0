"""`MBConv`: the inverted residual block of MobileNetV2 and V3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class MBConv(Block):
    """Inverted residual block (MobileNetV2 §3.3): 1×1 expand, depthwise k×k, optional SE, 1×1 project.

    The expanding convolution is there iff ``expansion`` isn't 1. SE as in MobileNetV3 §5.3, on the
    expanded width, reduction 4, hard-sigmoid gate. Places are those of the released SCARLET checkpoints.
    """

    kind: ClassVar[str] = "mbconv"
    kernel: int
    stride: int
    expansion: float
    se: bool
    act: str

    @property
    def hidden(self) -> int:
        """Channels between the expanding and the projecting convolution."""
        return round(self.c_in * self.expansion)

    @property
    def squeezed(self) -> int:
        """Channels inside the SE module."""
        return max(1, self.hidden // 4)

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.c_in == self.c_out

    def expand(self) -> Graph:
        net = self.draft()
        y = net.input
        if self.expansion != 1:
            y = net.conv("conv1", y, self.hidden)
            y = net.act("act1", net.norm("bn1", y), self.act)
        y = net.conv("conv2", y, self.hidden, self.kernel, self.stride, groups=self.hidden)
        y = net.act("act2", net.norm("bn2", y), self.act)
        if self.se:
            gate = net.conv("mid_se.squeeze_conv", net.pool("mid_se.pool", y), self.squeezed, bias=True)
            gate = net.conv("mid_se.excite_conv", net.act("mid_se.relu", gate, "relu"), self.hidden, bias=True)
            y = net.multiply("mid_se.scale", y, net.act("mid_se.gate", gate, "hsigmoid"))
        y = net.norm("bn3", net.conv("conv3", y, self.c_out))
        return net.graph(net.add("add", net.input, y) if self.residual else y)

    @property
    def label(self) -> str:
        words = [f"mbconv {self.kernel}×{self.kernel}", f"expansion {self.expansion:g}"]
        words += ["with SE"] if self.se else []
        words += [f"stride {self.stride}"] if self.stride > 1 else []
        return ", ".join(words)

    @property
    def short(self) -> str:
        return f"k{self.kernel} e{self.expansion:g}{' se' if self.se else ''}"

    @property
    def caption(self) -> str:
        return f"expand {self.expansion:g}"

    def _details(self) -> str:
        return f" k{self.kernel} s{self.stride} e{self.expansion:g}{' se' if self.se else ''} {self.act}"
