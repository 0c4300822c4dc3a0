"""Blocks of depthwise convolutions, each as its family has it: (sketch, x, channels, stride, style) -> x."""

from __future__ import annotations

from hwnas.onnx.typical.sketch import Sketch, Tensor
from hwnas.onnx.typical.style import Style, gated, shortcut, smaller


def separable(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """MobileNet's (Howard 2017)."""
    return s.conv(smaller(s, x, stride, style), channels, act=style.act)


def twice_separable(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """Xception's (Chollet 2016): no activation in between, a pool makes it smaller."""
    inner = s.conv(s.depthwise(s.act(x, style.act)), channels, act=style.act)
    inner = s.conv(s.depthwise(inner), channels)
    inner = inner if stride == 1 else s.pool(inner, "Max", 3, 2)
    return s.add(shortcut(s, x, channels, stride), inner)


def inverted(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """MobileNetV2's (Sandler 2018), V3's and EfficientNet's with a gate."""
    width = max(round(x.channels * style.ratio / 8), 1) * 8
    inner = x if style.ratio == 1 else s.conv(x, width, act=style.act)
    inner = gated(s, smaller(s, inner, stride, style), style)
    inner = s.conv(inner, channels)
    return s.add(x, inner) if stride == 1 and x.channels == channels else inner


def fused_inverted(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """EfficientNet-Edge's: one 3x3 in place of the first two."""
    inner = gated(s, s.conv(x, x.channels * 4, 3, stride, act=style.act), style)
    inner = s.conv(inner, channels)
    return s.add(x, inner) if stride == 1 and x.channels == channels else inner


def mixed(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """MixNet's (Tan 2019): a kernel size for each part of the channels."""
    width = max(round(x.channels * style.ratio / 16), 2) * 16
    sizes = [width // 2, width // 4, width // 8, width // 8]
    parts = s.split(s.conv(x, width, act=style.act), sizes)
    mixed_up = [s.depthwise(part, kernel, stride) for part, kernel in zip(parts, (3, 5, 7, 9), strict=True)]
    inner = gated(s, s.act(s.concat(mixed_up), style.act), style)
    halves = s.split(inner, [width // 2, width // 2])
    inner = s.concat([s.conv(half, channels // 2) for half in halves])
    return s.add(x, inner) if stride == 1 and x.channels == inner.channels else inner


def shuffled(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ShuffleNet's (Zhang 2017): 1x1 convolutions in groups, of ``style.grouped`` many."""
    groups = style.grouped
    unit = 4 * groups
    if x.channels % unit:
        x = s.conv(x, (x.channels // unit + 1) * unit, act=style.act)
    given = x.channels if stride == 1 else max((channels - x.channels) // unit, 1) * unit
    inner = s.conv(x, given // 4, groups=groups, act=style.act)
    inner = s.depthwise(s.shuffle(inner, groups), 3, stride)
    inner = s.conv(inner, given, groups=groups)
    if stride == 1:
        return s.add(x, inner, style.act)
    return s.act(s.concat([s.pool(x, "Average", 3, 2), inner]), style.act)


def halved(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ShuffleNetV2's (Ma 2018): half of the channels go around the block."""
    half = channels // 2
    if stride == 1 and x.channels % 2 == 0:
        beside, x = s.split(x, [x.channels // 2] * 2)
    else:
        beside = s.conv(s.depthwise(x, 3, stride), half, act=style.act)
    inner = s.conv(s.depthwise(s.conv(x, half, act=style.act), 3, stride), half, act=style.act)
    return s.shuffle(s.concat([beside, inner]), 2)


def ghost(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """GhostNet's (Han 2019): half of the channels are made of the other half, cheaply."""
    width = max(round(x.channels * style.ratio / 8), 1) * 4

    def doubled(x: Tensor, act: str, half: int) -> Tensor:
        first = s.conv(x, half, act=act)
        return s.concat([first, s.depthwise(first, 3, act=act)])

    inner = doubled(x, style.act, width)
    inner = inner if stride == 1 else s.depthwise(inner, 3, stride)
    inner = doubled(gated(s, inner, style), "", channels // 2)
    beside = x
    if stride == 2 or x.channels != inner.channels:
        beside = s.conv(s.depthwise(x, 3, stride), inner.channels)
    return s.add(beside, inner)


def widening(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ESPNet's (Mehta 2018): depthwise, wider and wider apart, each added to the one before."""
    part = max(channels // 32, 1) * 8
    narrow = s.conv(x, part, act=style.act, groups=4 if x.channels % 4 == 0 else 1)
    seen = [s.depthwise(narrow, 3, stride, dilation=wide) for wide in (1, 2, 3, 4)]
    for number in range(1, len(seen)):
        seen[number] = s.add(seen[number], seen[number - 1])
    inner = s.conv(s.norm(s.concat(seen), style.act), 4 * part, groups=4)
    return s.act(s.add(x, inner), style.act) if x.shape == inner.shape else s.act(inner, style.act)


def cell(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """NASNet's (Zoph 2017): separable convolutions and pools, summed pair by pair, all of it seen at the end."""
    x = s.conv(s.act(x, style.act), channels // 2)

    def twice(kernel: int) -> Tensor:
        inner = s.conv(s.depthwise(s.act(x, style.act), kernel, stride), x.channels, act=style.act)
        return s.conv(s.depthwise(inner, kernel), x.channels)

    if stride == 1:
        pooled = largest = s.pool(x, "Average", 3, 1)
    else:  # as in TensorFlow, at the end only; two read it, so no runtime takes it into either
        around = s.padded(x, x.pixels % 2, 1)
        pooled, largest = (s.pool(around, kind, 3, 2, padded=False) for kind in ("Average", "Max"))
    return s.concat([s.add(twice(5), twice(3)), s.add(pooled, twice(3)), largest])
