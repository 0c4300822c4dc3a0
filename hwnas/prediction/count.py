"""Multiply-adds and parameters of Ops, by formula. 1 multiply-add = 2 FLOPs.

Counted: convolutions and linear layers, SE's included (the field's convention, and fvcore's). Not counted as
multiply-adds: BN, activations, pooling, the residual's addition and SE's product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

from hwnas.space.op import Downsample, Head, MBConv, Op, Stabilizer, Stem


class Cost(NamedTuple):
    """What one Op costs at batch 1.

    Attributes:
        madds: multiply-adds.
        params: BN's scale and shift included.
        weights, biases: what a deployed network stores of it: BN is folded into the convolution in front of it, which
            then has a bias for each channel.
    """

    madds: int
    params: int
    weights: int
    biases: int


@dataclass(frozen=True)
class Count:
    """A network's cost; ``per_op`` in the order of its Ops."""

    madds: int
    params: int
    per_op: tuple[tuple[Op, Cost], ...]


def count(ops: Iterable[Op]) -> Count:
    """Multiply-adds (batch 1) and parameters (BN's scale and shift included) of a network.

    Raises:
        TypeError: nobody registered a formula for a kind of Op; nothing is counted as zero.
    """
    per_op = tuple((op, cost(op)) for op in ops)
    return Count(sum(c.madds for _, c in per_op), sum(c.params for _, c in per_op), per_op)


@singledispatch
def cost(op: Op) -> Cost:
    """Multiply-adds and parameters of one Op; register another kind with ``cost.register``."""
    raise TypeError(f"no formula is registered for op kind {op.kind!r}; use hwnas.prediction.count.cost.register")


def _conv(c_in: int, c_out: int, pixels_out: int, kernel: int = 1, groups: int = 1, bias: bool = False) -> Cost:
    """A convolution and what follows it: BN (2 parameters a channel) or a bias (1)."""
    weights = c_in // groups * c_out * kernel * kernel
    return Cost(weights * pixels_out, weights + (c_out if bias else 2 * c_out), weights, c_out)


def _total(*costs: Cost) -> Cost:
    return Cost(*map(sum, zip(*costs, strict=True)))


def _pixels_out(op: Op) -> int:
    _, height, width = op.out_shape
    return height * width


@cost.register
def _stem(op: Stem) -> Cost:
    pixels = _pixels_out(op)
    conv = _conv(op.c_in, op.width, pixels, 3)
    if not op.separable:
        return conv
    return _total(conv, _conv(op.width, op.width, pixels, 3, groups=op.width), _conv(op.width, op.c_out, pixels))


@cost.register
def _mbconv(op: MBConv) -> Cost:
    hidden, pixels = op.hidden, _pixels_out(op)
    costs = [_conv(hidden, hidden, pixels, op.kernel, groups=hidden), _conv(hidden, op.c_out, pixels)]
    if op.expansion != 1:
        costs.append(_conv(op.c_in, hidden, op.h_in * op.w_in))
    if op.se:
        costs += [_conv(hidden, op.squeezed, 1, bias=True), _conv(op.squeezed, hidden, 1, bias=True)]
    return _total(*costs)


@cost.register
def _stabilizer(op: Stabilizer) -> Cost:
    weights = op.c_in * op.c_out
    return Cost(weights * op.h_in * op.w_in, weights, weights, 0)


@cost.register
def _downsample(op: Downsample) -> Cost:
    return _conv(op.c_in, op.c_out, _pixels_out(op))


@cost.register
def _head(op: Head) -> Cost:
    return _total(_conv(op.c_in, op.width, op.h_in * op.w_in), _conv(op.width, op.c_out, 1, bias=True))
