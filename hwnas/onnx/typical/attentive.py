"""Families of networks with attention, and hybrids: each draws a network by a generator."""

from __future__ import annotations

import numpy as np

from hwnas.onnx.typical import mobile, residual, tokens
from hwnas.onnx.typical.sketch import Sketch, Tensor
from hwnas.onnx.typical.style import Style

_WIDTHS = (128, 192, 192, 256, 320, 384, 384, 512, 768)
_CLASSES = (10, 100, 1000, 1000)


def vit(rng: np.random.Generator) -> bytes:
    """ViT, DeiT, BEiT, DINOv2 (Dosovitskiy 2020 and those who followed): three layers of one width."""
    patch = int(rng.choice((14, 16, 16, 16, 32)))
    s = Sketch(patch * int(rng.choice((7, 10, 12, 14, 14))))
    width = int(rng.choice(_WIDTHS))
    class_token, together, plain, scaled = (bool(rng.random() < share) for share in (0.7, 0.4, 0.4, 0.3))
    x = tokens.positioned(s, tokens.patches(s, s.images, width, patch), class_token)
    ratio, act = float(rng.choice((2, 3, 4, 4))), str(rng.choice(("gelu", "gelu", "relu", "swish")))
    for _ in range(2):
        heads = width // _head(width, rng)
        x = tokens.transformer(s, x, heads, ratio, together=together, plain=plain, scaled=scaled, act=act)
    x = s.layer_norm(x)
    return _classified(s, s.first(x, 1) if class_token else s.mean(x, 1, kept=False), rng)


def bert(rng: np.random.Generator) -> bytes:
    """Layers that are normalised behind their sums, over patches: text encoders have the same."""
    s = Sketch(16 * int(rng.choice((8, 11, 16))))
    width = int(rng.choice(_WIDTHS))
    x = tokens.positioned(s, tokens.patches(s, s.images, width, 16), class_token=False)
    for _ in range(2):
        x = tokens.post_normed(s, x, width // _head(width, rng), 4)
    return _classified(s, s.act(s.linear(s.first(x, 1), width), "tanh"), rng)


def swin(rng: np.random.Generator) -> bytes:
    """Windows, moved every other time; four stages, each of half as many pixels and twice as wide."""
    window = int(rng.choice((4, 7, 7, 8)))
    s = Sketch(32 * window)
    size = int(rng.choice((16, 24, 32)))
    width = size * int(rng.choice((2, 3)))
    x = s.layer_norm(tokens.patches(s, s.images, width, 4))
    for stage in range(4):
        for shifted in (False, True):
            x = tokens.windowed(s, x, width // size, window, shifted and stage < 3)
        x, width = (tokens.merged(s, x), 2 * width) if stage < 3 else (x, width)
    return _classified(s, s.mean(s.layer_norm(x), 1, kept=False), rng)


def pyramid(rng: np.random.Generator) -> bytes:
    """PVT, SegFormer: keys of smaller images, patches that overlap."""
    s = Sketch(int(rng.choice((160, 192, 224, 224, 256))))
    overlapping = bool(rng.random() < 0.6)
    width, x = int(rng.choice((32, 48, 64))), s.images
    for stage in range(4):
        kernel, stride = (7 if overlapping else 4, 4) if stage == 0 else (3 if overlapping else 2, 2)
        small = s.conv(x, width, kernel, stride, padded=overlapping)
        inner = s.layer_norm(tokens.tokens_of(s, small))
        inner = tokens.reduced(s, inner, max(width // 32, 1), float(rng.choice((4, 8))), (8, 4, 2, 1)[stage])
        x = tokens.image_of(s, s.layer_norm(inner))
        width = (width * int(rng.choice((3, 4))) // 64 + 1) * 32
    return _classified(s, s.mean(tokens.tokens_of(s, x), 1, kept=False), rng)


def mobile_vit(rng: np.random.Generator) -> bytes:
    """MobileViT: inverted residuals, between them attention over every fourth place."""
    s = Sketch(int(rng.choice((192, 256, 256))))
    style = Style(act="swish", ratio=float(rng.choice((2, 4))))
    channels = int(rng.choice((16, 24, 32)))
    x = s.conv(s.images, 16, 3, 2, act="swish")
    for stage in range(4):
        x = mobile.inverted(s, x, channels, 2, style)
        if stage:
            x = tokens.unfolded(s, x, channels * 3 // 16 * 8, 4)
        channels = round(channels * rng.uniform(1.3, 1.8) / 8) * 8
    x = s.conv(x, 4 * x.channels, act="swish")
    return _classified(s, s.mean(x, -2, -1, kept=False), rng)


def convolved(rng: np.random.Generator) -> bytes:
    """LeViT, EfficientFormer: a stem of convolutions, attention of few tokens with BN, hard-swish."""
    s = Sketch(int(rng.choice((160, 192, 224, 224))))
    width = int(rng.choice((128, 192, 256, 384)))
    x = s.images
    for part in (8, 4, 2, 1):
        x = s.conv(x, width // part, 3, 2, act="hswish" if part > 1 else "")
    inner = tokens.tokens_of(s, x)
    for _ in range(2):
        heads = width // int(rng.choice((16, 32)))
        inner = s.add(inner, _normed(s, tokens.attention(s, inner, heads, together=True, biased=True)))
        inner = s.add(inner, _normed(s, tokens.mlp(s, inner, 2, "hswish")))
    x = residual.residual(s, tokens.image_of(s, inner), 2 * width, 2, Style(act="gelu"))
    return _classified(s, s.mean(tokens.tokens_of(s, x), 1, kept=False), rng)


def _normed(s: Sketch, x: Tensor) -> Tensor:
    """By a BN, which takes the tokens for a batch."""
    rows = s.node("Flatten", (x,), x.shape[1:], axis=2)
    return s.reshape(s.norm(rows), x.shape)


def _head(width: int, rng: np.random.Generator) -> int:
    """Channels of a head."""
    return int(rng.choice([size for size in (32, 64, 64) if width % size == 0]))


def _classified(s: Sketch, x: Tensor, rng: np.random.Generator) -> bytes:
    return s.model(s.linear(x, int(rng.choice(_CLASSES))))


FAMILIES = {
    "vit": vit, "bert": bert, "swin": swin, "pyramid": pyramid, "mobile attention": mobile_vit, "convolved": convolved,
}  # fmt: skip
