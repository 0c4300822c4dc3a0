"""Multiply-adds and parameters by formula. 1 multiply-add = 2 FLOPs.

Counted: convolutions and linear layers, SE's included (the field's convention, and fvcore's). Not counted as
multiply-adds: BN, activations, pooling, the residual's addition and SE's product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import NamedTuple

from hwnas.graph.foldable import norm_behind
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Activation, Add, Conv, Flatten, Linear, Multiply, Norm, Pool, Primitive

_NOT_COUNTED = (Norm, Activation, Pool, Flatten, Add, Multiply)


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


def count(graph: Graph) -> Count:
    """Multiply-adds (batch 1) and parameters (BN's scale and shift included) of a network.

    Raises:
        TypeError: a primitive has no formula; nothing is counted as zero.
    """
    per_op = tuple((op, cost(op)) for op in graph.ops)
    return Count(sum(c.madds for _, c in per_op), sum(c.params for _, c in per_op), per_op)


@cache
def cost(op: Op) -> Cost:
    """Multiply-adds and parameters of one Op.

    Raises:
        TypeError: a primitive has no formula.
    """
    graph = expanded(op)
    folded = {norm.place for node in graph if (norm := norm_behind(graph, node))}
    costs = []
    for node in graph:
        assert isinstance(node.op, Primitive)
        sizes = {name: prod(shape) for name, shape in node.op.parameters.items()}
        params = sum(sizes.values())
        weights, biases = (0, 0) if node.place in folded else (sizes.get("weight", 0), sizes.get("bias", 0))
        if norm_behind(graph, node):
            biases = node.op.out_shape[0]
        costs.append(Cost(_madds(node.op), params, weights, biases))
    return Cost(*map(sum, zip(*costs, strict=True)))


def _madds(op: Primitive) -> int:
    if isinstance(op, Conv):
        return prod(op.parameters["weight"]) * prod(op.out_shape[1:])
    if isinstance(op, Linear):
        return prod(op.parameters["weight"])
    if isinstance(op, _NOT_COUNTED):
        return 0
    raise TypeError(f"no formula is known for {op.kind!r}; add one to hwnas.graph.count")
