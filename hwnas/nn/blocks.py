"""Op -> nn.Module: the one builder, used for profiling, the supernet and the derived network alike.

Inside a block the attribute names are those of the released SCARLET checkpoints (``conv1``, ``bn1``, …).
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import nn

from hwnas.nn.stabilizer import StabilizerConv
from hwnas.space.op import Downsample, Head, MBConv, Op, Stabilizer, Stem

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish}


def _act(name: str) -> nn.Module:
    return _ACTIVATIONS[name]()


def _conv(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


class StemBlock(nn.Module):
    """See :class:`hwnas.space.op.Stem`. x_NCHW -> (N, c_out, H/stride, W/stride)."""

    def __init__(self, op: Stem) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(op.c_in, op.width, 3, op.stride), nn.BatchNorm2d(op.width), _act(op.act))
        self.separable = (
            nn.Sequential(
                _conv(op.width, op.width, 3, groups=op.width), nn.BatchNorm2d(op.width), _act(op.act),
                _conv(op.width, op.c_out), nn.BatchNorm2d(op.c_out),
            )
            if op.separable
            else nn.Sequential()
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.separable(self.conv(x))


class SqueezeExcite(nn.Module):
    """Channel gate (SENet §3, with MobileNetV3's hard sigmoid): x_NCHW -> same shape."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze_conv = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.excite_conv = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = self.relu(self.squeeze_conv(self.pool(x)))
        return x * self.gate(self.excite_conv(squeezed))


class MBConvBlock(nn.Module):
    """See :class:`hwnas.space.op.MBConv`. x_NCHW -> (N, c_out, H/stride, W/stride)."""

    def __init__(self, op: MBConv) -> None:
        super().__init__()
        self.residual = op.residual
        self.expands = op.expansion != 1
        self.gates = op.se
        if self.expands:
            self.conv1 = _conv(op.c_in, op.hidden)
            self.bn1 = nn.BatchNorm2d(op.hidden)
            self.act1 = _act(op.act)
        self.conv2 = _conv(op.hidden, op.hidden, op.kernel, op.stride, groups=op.hidden)
        self.bn2 = nn.BatchNorm2d(op.hidden)
        self.act2 = _act(op.act)
        if self.gates:
            self.mid_se = SqueezeExcite(op.hidden, op.squeezed)
        self.conv3 = _conv(op.hidden, op.c_out)
        self.bn3 = nn.BatchNorm2d(op.c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act1(self.bn1(self.conv1(x))) if self.expands else x
        y = self.act2(self.bn2(self.conv2(y)))
        if self.gates:
            y = self.mid_se(y)
        y = self.bn3(self.conv3(y))
        return x + y if self.residual else y


class DownsampleBlock(nn.Module):
    """See :class:`hwnas.space.op.Downsample`. x_NCHW -> (N, c_out, H/stride, W/stride)."""

    def __init__(self, op: Downsample) -> None:
        super().__init__()
        self.conv = _conv(op.c_in, op.c_out, stride=op.stride)
        self.bn = nn.BatchNorm2d(op.c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class HeadBlock(nn.Module):
    """See :class:`hwnas.space.op.Head`. x_NCHW -> logits (N, classes)."""

    def __init__(self, op: Head) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(op.c_in, op.width), nn.BatchNorm2d(op.width), _act(op.act))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(op.width, op.c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.flatten(self.pool(self.conv(x))))


@singledispatch
def build(op: Op) -> nn.Module:
    """The module that computes ``op``; register another kind with ``build.register``.

    Raises:
        TypeError: nobody registered a builder for this kind.
    """
    raise TypeError(f"no module is registered for op kind {op.kind!r}; use hwnas.nn.blocks.build.register")


build.register(Stem, StemBlock)
build.register(MBConv, MBConvBlock)
build.register(Downsample, DownsampleBlock)
build.register(Head, HeadBlock)


@build.register
def _(op: Stabilizer) -> nn.Module:
    return StabilizerConv(op.c_in)


@torch.no_grad()
def quiet_residuals(module: nn.Module) -> None:
    """Let every residual block start as the identity: its last BN's scale becomes 0 (Goyal et al. 2017, §5.1).

    A supernet's paths then start shallow, which is what makes a short training of one possible.
    """
    for block in module.modules():
        if isinstance(block, MBConvBlock) and block.residual:
            block.bn3.weight.zero_()


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights from ``generator`` for every layer of a module built on the meta device.

    Convolutions: He normal, fan out within a group (He et al. 2015, §2.2). Linear: normal, σ 0.01. Stabilizers:
    identity.
    """
    for layer in module.modules():
        if isinstance(layer, StabilizerConv):
            layer.reset_parameters()
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
            layer.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        elif isinstance(layer, nn.Linear):
            layer.weight.normal_(0, 0.01, generator=generator)
            layer.bias.zero_()
