"""Blocks of full convolutions, each as its family has it: (sketch, x, channels, stride, style) -> x."""

from __future__ import annotations

from hwnas.onnx.typical.sketch import Sketch, Tensor
from hwnas.onnx.typical.style import Style, gated, shortcut


def plain(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """VGG's (Simonyan 2014)."""
    return s.conv(x, channels, style.kernel, stride, act=style.act)


def alternating(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """Darknet's (Redmon 2018): half as many channels and back."""
    x = x if stride == 1 and x.channels == channels else s.conv(x, channels, 3, stride, act=style.act)
    return s.add(x, s.conv(s.conv(x, channels // 2, 1, act=style.act), channels, 3, act=style.act))


def residual(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ResNet-18's (He 2015)."""
    inner = s.conv(s.conv(x, channels, 3, stride, act=style.act), channels, 3)
    return s.add(shortcut(s, x, channels, stride), gated(s, inner, style), style.act)


def bottleneck(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ResNet-50's; with groups ResNeXt's (Xie 2016) and RegNet's (Radosavovic 2020)."""
    width = style.inner(channels)
    inner = s.conv(s.conv(x, width, act=style.act), width, 3, stride, style.groups(width), act=style.act)
    inner = gated(s, s.conv(inner, channels), style)
    return s.add(shortcut(s, x, channels, stride), inner, style.act)


def linearly_gated(s: Sketch, x: Tensor) -> Tensor:
    """Linear layers of the channels' means, and what a wider and wider convolution sees of places (BAM, Park 2018)."""
    vector = s.reshape(s.global_pool(x), (1, x.channels))
    of_channels = s.linear(s.linear(vector, max(x.channels // 16, 4), "relu"), x.channels)
    of_channels = s.node("Unsqueeze", (of_channels, s.ints(2, 3)), (1, x.channels, 1, 1))
    seen = s.conv(x, max(x.channels // 64, 1) * 4, act="relu")
    of_places = s.conv(s.conv(seen, seen.channels, 3, dilation=4, act="relu"), 1)
    spread, seen = (s.node("Expand", (each, s.ints(*x.shape)), x.shape) for each in (of_channels, of_places))
    return s.add(x, s.mul(x, s.act(s.add(spread, seen), "sigmoid")))


def averaged_bottleneck(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ResNet-D's (He 2018), with a gate of linear layers: what is left out for size is averaged first."""
    width = style.inner(channels)
    inner = s.conv(s.conv(x, width, act=style.act), width, 3, 1, act=style.act)
    inner = inner if stride == 1 else s.pool(inner, "Average", 3, 2)
    beside = x if stride == 1 else s.pool(x, "Average", 3, 2)
    inner = linearly_gated(s, s.conv(inner, channels))
    return s.add(shortcut(s, beside, channels, 1), inner, style.act)


def normed_first(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """The residual with BN and activation in front of convolutions (He 2016)."""
    before = s.norm(x, style.act)
    inner = s.conv(s.conv(before, channels, 3, stride, act=style.act), channels, 3, bias=False)
    beside = x if stride == 1 and x.channels == channels else s.conv(before, channels, 1, stride, bias=False)
    return s.add(inner, beside)


def half_instance_normed(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """IBN-Net's bottleneck (Pan 2018)."""
    width = style.inner(channels) // 2 * 2
    one, other = s.split(s.conv(x, width), [width // 2, width // 2])
    normed = s.act(s.concat([s.instance_norm(one), s.norm(other)]), style.act)
    inner = s.conv(s.conv(normed, width, 3, stride, act=style.act), channels)
    return s.add(shortcut(s, x, channels, stride), inner, style.act)


def split_window(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """SqueezeNext's (Gholami 2018): a 3x3 as 3x1 and 1x3 between narrower and narrower 1x1."""
    inner = s.conv(x, max(channels // 16, 1) * 8, 1, stride, act=style.act)
    inner = s.conv(inner, max(channels // 32, 1) * 8, act=style.act)
    inner = s.conv(inner, max(channels // 16, 1) * 8, (1, 3), act=style.act)
    inner = s.conv(inner, max(channels // 16, 1) * 8, (3, 1), act=style.act)
    return s.add(shortcut(s, x, channels, stride), s.conv(inner, channels, act=style.act), style.act)


def selected(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """SKNet's (Li 2019) and ResNeSt's (Zhang 2020): branches, weighed by a softmax over them."""
    width = style.inner(channels)
    inner = s.conv(x, width, act=style.act)
    near, far = (s.conv(inner, width, 3, stride, style.groups(width), wide, style.act) for wide in (1, 2))
    means = s.global_pool(s.add(near, far))
    squeezed = s.conv(means, max(width // 32, 1) * 8, act=style.act)
    weighed = s.reshape(s.softmax(s.reshape(s.conv(squeezed, 2 * width), (1, 2, width)), 1), (1, 2, width, 1, 1))
    stacked = s.concat([s.node("Unsqueeze", (each, s.ints(1)), (1, *each.shape)) for each in (near, far)])
    inner = s.conv(s.mean(s.mul(stacked, weighed), 1, op="ReduceSum", kept=False), channels)
    return s.add(shortcut(s, x, channels, stride), inner, style.act)


def two_scales(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """HRNet's exchange (Wang 2019), and what hourglasses and pyramids have: down, up again, and a sum."""
    x = s.conv(x, channels, 3, stride, act=style.act)
    if x.pixels % 2:
        return s.conv(x, channels, 3, act=style.act)
    small = s.conv(x, 2 * channels, 3, 2, act=style.act)
    small = s.conv(small, 2 * channels, 3, act=style.act)
    return s.add(x, s.larger(s.conv(small, channels), 2), style.act)


def smooth_scales(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """Attention over places through a smaller image (Wang 2017): bilinear interpolation and a gate."""
    x = residual(s, x, channels, stride, style)
    if x.pixels % 2:
        return x
    small = s.conv(s.pool(x, "Max", 3, 2), channels, 3, act=style.act)
    mask = s.conv(s.larger(small, 2, "linear"), channels, act="sigmoid")
    return s.add(x, s.mul(x, mask))


def modern(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """ConvNeXt's (Liu 2022): tokens inside, channels last; smaller by a convolution of 2x2."""
    if stride == 2:
        x = s.conv(s.layer_normed(x), channels, 2, 2, padded=False)
    inner = s.transpose(s.depthwise(x, 7), (0, 2, 3, 1))
    inner = s.linear(s.layer_norm(inner), 4 * x.channels, "gelu")
    if style.gate:  # ConvNeXt V2's normalization of responses
        size = s.mean(inner, 1, 2, op="ReduceL2")
        ratio = s.node("Div", (size, s.add(s.mean(size, -1), s.number(1e-6))), size.shape)
        inner = s.add(s.mul(s.mul(inner, ratio), s.weight(4 * x.channels)), inner)
    inner = s.linear(inner, x.channels)
    if not style.gate:
        inner = s.mul(s.weight(x.channels), inner)
    return s.add(x, s.transpose(inner, (0, 3, 1, 2)))


def pooled(s: Sketch, x: Tensor, channels: int, stride: int, style: Style) -> Tensor:
    """PoolFormer's (Yu 2021): what a pool says in place of attention."""
    x = x if stride == 1 else s.conv(x, channels, 3, 2)
    scale = s.weight(x.channels, 1, 1)
    normed = s.group_norm(x)
    x = s.add(x, s.mul(scale, s.sub(s.pool(normed, "Average", 3, 1), normed)))
    inner = s.conv(s.conv(s.group_norm(x), 4 * x.channels, act="gelu"), x.channels)
    return s.add(x, s.mul(scale, inner))
