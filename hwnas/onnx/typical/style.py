"""What the blocks of convolutional networks have in common: a style, gates, a way around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwnas.onnx.typical.sketch import Sketch, Tensor


@dataclass(frozen=True)
class Style:
    """What all blocks of a network have in common.

    Attributes:
        act: behind convolutions.
        gate: "" for none; ``se`` multiplies channels by what their means say, ``cbam`` places as well.
        kernel: of depthwise and of plain convolutions.
        grouped: channels of a group, in families that have groups; 0 for none.
        ratio: of a block's inner channels to its outer ones.
        squeezed: how many times fewer channels there are inside a gate.
        same: where an image shrinks it is padded as TensorFlow does, at the end only, by an operator of its own.
    """

    act: str = "relu"
    gate: str = ""
    kernel: int = 3
    grouped: int = 0
    ratio: float = 1.0
    squeezed: int = 16
    same: bool = False

    def inner(self, channels: int) -> int:
        """Channels inside a block, of whole groups."""
        unit = self.grouped or 8
        return max(round(channels * self.ratio / unit), 1) * unit

    def groups(self, channels: int) -> int:
        return channels // self.grouped if self.grouped else 1


Block = Callable[[Sketch, Tensor, int, int, Style], Tensor]


def gated(s: Sketch, x: Tensor, style: Style) -> Tensor:
    """Squeeze and excitation (Hu 2018), with the gate of the activation's family; CBAM (Woo 2018) has two."""
    if not style.gate:
        return x
    means = s.global_pool(x)
    act, last = _OF_GATES.get(style.act, (style.act, "sigmoid"))
    x = s.mul(x, s.conv(s.conv(means, max(x.channels // style.squeezed, 4), act=act), x.channels, act=last))
    if style.gate == "cbam":
        seen = s.concat([s.mean(x, 1), s.mean(x, 1, op="ReduceMax")])
        x = s.mul(x, s.conv(seen, 1, 7, act="sigmoid"))
    return x


_OF_GATES = {"hswish": ("relu", "hsigmoid"), "spelled hswish": ("relu", "spelled hsigmoid")}


def smaller(s: Sketch, x: Tensor, stride: int, style: Style) -> Tensor:
    """The depthwise convolution that may halve an image."""
    if stride == 1 or not style.same:
        return s.depthwise(x, style.kernel, stride, style.act)
    beside = style.kernel // 2 - 1 + x.pixels % 2
    around = s.padded(x, beside, style.kernel // 2)
    return s.conv(around, x.channels, style.kernel, stride, x.channels, act=style.act, padded=False)


def shortcut(s: Sketch, x: Tensor, channels: int, stride: int) -> Tensor:
    return x if stride == 1 and x.channels == channels else s.conv(x, channels, 1, stride)
