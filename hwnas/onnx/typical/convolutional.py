"""Families of convolutional networks: what is known of real ones, as ranges, and a network drawn from them.

Of each family it is written down how wide it begins, how channels grow where images shrink, and which kernels, strides,
groups, activations and gates go together: what its papers and their published networks have, rounded outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.onnx.typical import joined, mobile, residual
from hwnas.onnx.typical.sketch import Sketch, Tensor
from hwnas.onnx.typical.style import Block, Style

_PIXELS = (224, 224, 224, 224, 192, 160, 128, 256, 320)
_CLASSES = (10, 100, 1000, 1000, 1000)
_ROUNDED = (8, 8, 16, 16, 16, 4, 1)
"""Channels are multiples of one of these."""
_SQUEEZED = (4, 8, 16, 16, 24)
"""Channels by those inside a gate."""
_SAME = 0.2
"""Share of networks that come from TensorFlow."""


@dataclass(frozen=True)
class Family:
    """Of convolutional networks: what is drawn.

    Attributes:
        block: what its stages are made of.
        widths: of the first stage: least and most channels.
        growth: of channels, from stage to stage: least and most.
        acts, gates, kernels, grouped, ratios: a `Style` has one of each.
        stem: ``small`` is a 3x3 of stride 2, ``large`` a 7x7 and a pool, ``deep`` three 3x3 and a pool, ``patches`` a
            4x4 of stride 4.
        head: a linear layer behind the mean (``linear``; ``averaged`` by a plain pool), with a wider 1x1 in front
            (``conv``), or another behind (``vector``, MobileNetV3's); ``wide`` is VGG's, ``pooled`` SqueezeNet's,
            ``normed`` ConvNeXt's.
        normed: BN and activation stand in front of the head, as where blocks begin with them.
        least: a stage follows as long as the image has more pixels a side.
        often: how many of its networks there are in a round.
    """

    block: Block
    widths: tuple[int, int] = (16, 64)
    growth: tuple[float, float] = (1.4, 2.0)
    acts: tuple[str, ...] = ("relu",)
    gates: tuple[str, ...] = ("",)
    kernels: tuple[int, ...] = (3,)
    grouped: tuple[int, ...] = (0,)
    ratios: tuple[float, ...] = (1.0,)
    stem: tuple[str, ...] = ("small",)
    head: tuple[str, ...] = ("linear",)
    normed: bool = False
    least: int = 8
    often: int = 1


_MOBILE: dict[str, Any] = {"widths": (8, 32), "growth": (1.3, 1.9)}

FAMILIES: dict[str, Family] = {
    "plain": Family(
        residual.plain, (32, 96), acts=("relu", "leaky", "elu"), kernels=(3, 3, 5), stem=("large", "small", "none"),
        head=("wide", "linear", "pooled"),
    ),
    "residual": Family(
        residual.residual, (32, 80), gates=("", "se", "cbam"), stem=("large", "deep"), head=("linear", "averaged"),
        often=2,
    ),
    "bottleneck": Family(
        residual.bottleneck, (64, 256), ratios=(0.25, 0.5), stem=("large", "deep"), gates=("", "se"), often=2,
    ),
    "inverted": Family(
        mobile.inverted, acts=("relu6", "hswish", "spelled hswish", "swish", "relu"), gates=("", "se", "se"),
        kernels=(3, 5, 3, 7), ratios=(3, 4, 6, 6, 1), head=("conv", "conv", "vector"), often=2, **_MOBILE,
    ),
    "separable": Family(mobile.separable, (16, 64), acts=("relu", "relu6"), kernels=(3, 3, 5), growth=(1.4, 2.0)),
    "dense": Family(joined.dense, (32, 64), (1.5, 2.0), stem=("large", "deep"), grouped=(0, 0, 4), normed=True),
    "alternating": Family(residual.alternating, (32, 64), (1.8, 2.0), acts=("leaky",), head=("pooled", "averaged")),
    "regnet": Family(
        residual.bottleneck, (24, 96), (1.6, 2.5), gates=("", "se"), grouped=(8, 16, 24), ratios=(1.0,),
    ),
    "resnext": Family(residual.bottleneck, (128, 256), (2.0, 2.0), grouped=(4, 8, 32), ratios=(0.5,), stem=("large",)),
    "inception": Family(joined.inception, (96, 256), (1.5, 2.0), kernels=(3, 7), stem=("deep", "large")),
    "halved": Family(mobile.halved, (24, 128), (1.8, 2.1), head=("conv",), stem=("small", "deep")),
    "shuffled": Family(mobile.shuffled, (144, 300), (1.9, 2.0), grouped=(2, 3, 4, 8), stem=("deep", "large")),
    "fire": Family(joined.fire, (96, 160), (1.4, 2.0), stem=("large",), head=("pooled",)),
    "gathered": Family(joined.gathered, (64, 160), (1.5, 2.0), ratios=(0.3, 0.5, 0.8), stem=("deep",)),
    "ghost": Family(
        mobile.ghost, acts=("relu", "spelled hswish"), ratios=(2, 3, 6), gates=("", "se"), head=("conv", "vector"),
        **_MOBILE,
    ),
    "mixed": Family(mobile.mixed, (16, 40), acts=("swish", "relu"), gates=("se",), ratios=(3, 6), growth=(1.4, 1.9)),
    "two scales": Family(residual.two_scales, (16, 48), (1.6, 2.0), stem=("deep",)),
    "partial": Family(joined.partial, (32, 64), (2.0, 2.0), acts=("swish", "leaky", "mish"), stem=("small",)),
    "fused": Family(mobile.fused_inverted, acts=("relu", "swish"), gates=("", "se"), head=("conv",), **_MOBILE),
    "normed first": Family(residual.normed_first, (32, 80), (1.8, 2.0), stem=("large",), normed=True),
    "averaged": Family(residual.averaged_bottleneck, (64, 256), ratios=(0.25,), stem=("deep",), growth=(2.0, 2.0)),
    "selected": Family(
        residual.selected, (64, 256), (2.0, 2.0), ratios=(0.25, 0.5), grouped=(0, 0, 16), stem=("large", "deep"),
    ),
    "window split": Family(residual.split_window, (32, 96), (1.8, 2.0), stem=("large",), head=("conv",)),
    "xception": Family(mobile.twice_separable, (64, 160), (1.5, 2.2), stem=("deep",), head=("conv",)),
    "cell": Family(mobile.cell, (44, 88), (1.8, 2.0), acts=("relu",), stem=("small",)),
    "widening": Family(mobile.widening, (32, 96), (1.7, 2.0), acts=("prelu",), stem=("small",)),
    "smooth scales": Family(residual.smooth_scales, (32, 96), (1.6, 2.0), stem=("large",)),
    "grouped dense": Family(joined.grouped_dense, (32, 64), (1.8, 2.0), stem=("small",), normed=True),
    "half instance": Family(residual.half_instance_normed, (64, 256), (2.0, 2.0), ratios=(0.25,), stem=("large",)),
    "modern": Family(residual.modern, (24, 96), (1.8, 2.0), stem=("patches",), head=("normed",)),
    "modern normed": Family(
        residual.modern, (24, 96), (1.8, 2.0), stem=("patches",), gates=("grn",), head=("normed",),
    ),
    "pooled": Family(residual.pooled, (32, 64), (1.5, 2.0), stem=("patches",), head=("normed",)),
}  # fmt: skip


def draw(family: Family, rng: np.random.Generator) -> bytes:
    """A network as a serialized model: two blocks a stage, since a third would be the second again."""
    s = Sketch(int(rng.choice(_PIXELS)))
    style = Style(
        act=str(rng.choice(family.acts)), gate=str(rng.choice(family.gates)), kernel=int(rng.choice(family.kernels)),
        grouped=int(rng.choice(family.grouped)), ratio=float(rng.choice(family.ratios)),
        squeezed=int(rng.choice(_SQUEEZED)), same=bool(rng.random() < _SAME),
    )  # fmt: skip
    unit = int(np.lcm(int(rng.choice(_ROUNDED)), 2 * max(style.grouped, 1) if family.grouped != (0,) else 2))
    width = np.exp(rng.uniform(*np.log(family.widths)))
    stem = str(rng.choice(family.stem))
    x = _STEMS[stem](s, style, int(rng.choice((16, 24, 32, 32, 64))))
    first = True
    while first or x.pixels > family.least:
        channels = max(round(width / unit), 1) * unit
        x = family.block(s, x, channels, 1 if first and stem != "small" else 2, style)
        x = family.block(s, x, channels, 1, style)
        width *= rng.uniform(*family.growth)
        first = False
    x = s.norm(x, style.act) if family.normed else x
    return s.model(_HEADS[str(rng.choice(family.head))](s, x, style, int(rng.choice(_CLASSES))))


def _none(s: Sketch, style: Style, channels: int) -> Tensor:
    return s.conv(s.images, channels, style.kernel, act=style.act)


def _small(s: Sketch, style: Style, channels: int) -> Tensor:
    return s.conv(s.images, channels, 3, 2, act=style.act)


def _large(s: Sketch, style: Style, channels: int) -> Tensor:
    return s.pool(s.conv(s.images, 2 * channels, 7, 2, act=style.act), "Max", 3, 2)


def _deep(s: Sketch, style: Style, channels: int) -> Tensor:
    x = s.conv(s.conv(s.images, channels, 3, 2, act=style.act), channels, 3, act=style.act)
    return s.pool(s.conv(x, 2 * channels, 3, act=style.act), "Max", 2, 2, padded=False)


def _patches(s: Sketch, style: Style, channels: int) -> Tensor:
    return s.layer_normed(s.conv(s.images, channels, 4, 4, padded=False))


_STEMS = {"none": _none, "small": _small, "large": _large, "deep": _deep, "patches": _patches}


def _linear(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    return s.linear(s.flatten(s.global_pool(x)), classes)


def _averaged(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    mean = s.pool(x, "Average", x.pixels, 1, padded=False)
    return s.linear(s.node("Squeeze", (mean, s.ints(2, 3)), (1, x.channels)), classes)


def _conv(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    return _linear(s, s.conv(x, max(x.channels * 4 // 32, 8) * 8, act=style.act), style, classes)


def _vector(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    wide = s.global_pool(s.conv(x, 6 * x.channels, act=style.act))
    return s.linear(s.flatten(s.conv(wide, 1280, act=style.act)), classes)


def _wide(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    return s.linear(s.linear(s.flatten(s.pool(x, "Max", 2, 2, padded=False)), 1024, style.act), classes)


def _pooled(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    return s.flatten(s.global_pool(s.conv(x, classes, act=style.act)))


def _normed(s: Sketch, x: Tensor, style: Style, classes: int) -> Tensor:
    vector = s.reshape(s.global_pool(x), (1, x.channels))
    return s.linear(s.layer_norm(vector), classes)


_HEADS = {
    "linear": _linear, "averaged": _averaged, "conv": _conv, "vector": _vector, "wide": _wide, "pooled": _pooled,
    "normed": _normed,
}  # fmt: skip
