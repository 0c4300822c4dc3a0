"""Blocks that put values side by side, each as its family has it: (sketch, x, channels, stride, style) -> x."""

from __future__ import annotations

from hwnas.onnx.typical.sketch import Sketch, Tensor
from hwnas.onnx.typical.style import Style


def dense(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """DenseNet's (Huang 2016): what comes in stays beside what is new; smaller by an average."""
    if stride == 2:
        x = s.pool(s.conv(s.norm(x, style.act), channels // 2, bias=False), "Average", 2, 2, padded=False)
    growth = max(channels // 64, 1) * 8
    for _ in range(2):
        new = s.conv(s.norm(x, style.act), 4 * growth, act=style.act)
        groups = 4 if style.grouped else 1
        new = s.shuffle(new, groups) if groups > 1 else new
        x = s.concat([x, s.conv(new, growth, 3, groups=groups, bias=False)])
    return x


def grouped_dense(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """CondenseNet's (Huang 2017): channels are picked, and 1x1 convolutions are in groups."""
    if stride == 2:
        x = s.pool(x, "Average", 2, 2, padded=False)
    growth = max(channels // 64, 1) * 8
    for _ in range(2):
        taken = x.channels // 8 * 8
        picked = s.node(
            "Gather", (x, s.ints(*(number % x.channels for number in range(taken)))), (1, taken, *x.shape[2:]), axis=1
        )
        new = s.conv(s.norm(picked, style.act), 4 * growth, groups=8, bias=False)
        x = s.concat([x, s.conv(s.shuffle(s.norm(new, style.act), 8), growth, 3, groups=8, bias=False)])
    return x


def fire(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """SqueezeNet's (Iandola 2016)."""
    x = x if stride == 1 else s.pool(x, "Max", 3, 2)
    squeezed = s.conv(x, max(channels // 64, 1) * 8, act=style.act)
    return s.concat([s.conv(squeezed, channels // 2, k, act=style.act) for k in (1, 3)])


def inception(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """Inception's (Szegedy 2015)."""
    part = max(channels // 32, 1) * 8
    if stride == 2:
        narrow = s.conv(s.conv(x, part, act=style.act), part, 3, 2, act=style.act)
        return s.concat([narrow, s.conv(x, part, 3, 2, act=style.act), s.pool(x, "Max", 3, 2)])
    long = s.conv(x, part, act=style.act)
    if style.kernel > 3:
        for window in ((1, style.kernel), (style.kernel, 1)):
            long = s.conv(long, part, window, act=style.act)
    else:
        long = s.conv(s.conv(long, part, 3, act=style.act), part, 3, act=style.act)
    short = s.conv(s.conv(x, part // 2, act=style.act), part, 3, act=style.act)
    pooled = s.conv(s.pool(x, "Average", 3, 1), part, act=style.act)
    return s.concat([s.conv(x, part, act=style.act), short, long, pooled])


def gathered(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """VoVNet's (Lee 2019): a chain of 3x3, all of it seen at the end; HarDNet's and DLA's are alike."""
    x = x if stride == 1 else s.pool(x, "Max", 3, 2)
    width, seen = style.inner(channels), [x]
    for _ in range(3):
        seen.append(s.conv(seen[-1], width, 3, act=style.act))
    return s.conv(s.concat(seen), channels, act=style.act)


def partial(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """Of cross-stage partial networks (Wang 2019), as in YOLO's trunks."""
    x = s.conv(x, channels, 3, stride, act=style.act)
    beside, inner = (s.conv(x, channels // 2, act=style.act) for _ in range(2))
    inner = s.add(inner, s.conv(s.conv(inner, channels // 2, act=style.act), channels // 2, 3, act=style.act))
    return s.conv(s.concat([inner, beside]), channels, act=style.act)
