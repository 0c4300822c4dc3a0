"""Multiply-adds, parameters and activations by formula. 1 multiply-add = 2 FLOPs.

Counted: convolutions and linear layers, SE's included, and products of matrices as attention has them (the field's
convention, and fvcore's). Not counted as multiply-adds: BN, layer norm, activations, softmax, pooling, the residual's
addition, positions' and SE's product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import NamedTuple

from hwnas.brief import Brief
from hwnas.graph.foldable import norm_behind
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.opaque import Opaque
from hwnas.graph.primitives import (
    Activation,
    Add,
    Conv,
    Flatten,
    LayerNorm,
    Linear,
    Matmul,
    Multiply,
    Norm,
    Pool,
    Position,
    Primitive,
    Reshape,
    Scale,
    Softmax,
    TokenPool,
    Transpose,
)

_NO_MADDS = (
    Activation, Add, Flatten, LayerNorm, Multiply, Norm, Pool, Position, Reshape, Scale, Softmax, TokenPool, Transpose,
)  # fmt: skip


class Cost(NamedTuple):
    """What one Op costs at batch 1.

    Attributes:
        madds: multiply-adds.
        params: BN's scale and shift included.
        weights: of convolutions and linear layers, as a deployed network stores them.
        biases: of these, too: BN is folded into the convolution in front of it, which then has a bias for each channel.
        floats: all else that it stores, which no precision makes integers of: what norms and positions have learnt.
    """

    madds: int
    params: int
    weights: int
    biases: int
    floats: int


@dataclass(frozen=True, repr=False)
class Count(Brief):
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
    """What one Op costs; raises what :func:`count` does."""
    graph = expanded(op)
    folded = {norm.place for node in graph if (norm := norm_behind(graph, node))}
    costs = [Cost(0, 0, 0, 0, 0)]
    for node in graph:
        assert isinstance(node.op, Primitive)
        if isinstance(node.op, Opaque):
            costs.append(node.op.own_cost)
            continue
        sizes = {name: prod(shape) for name, shape in node.op.parameters.items()}
        params = sum(sizes.values())
        weights, biases = (0, 0) if node.place in folded else (sizes.get("weight", 0), sizes.get("bias", 0))
        floats = 0
        if isinstance(node.op, LayerNorm | Position):
            weights, biases, floats = 0, 0, weights + biases
        if norm_behind(graph, node):
            biases = node.op.out_shape[0]
        costs.append(Cost(_madds(node.op), params, weights, biases, floats))
    return Cost(*map(sum, zip(*costs, strict=True)))


def _madds(op: Primitive) -> int:
    if isinstance(op, Conv):
        return prod(op.parameters["weight"]) * prod(op.out_shape[1:])
    if isinstance(op, Linear):
        return prod(op.shape) * op.c_out
    if isinstance(op, Matmul):
        return prod(op.shape) * op.columns
    if isinstance(op, _NO_MADDS):
        return 0
    raise TypeError(f"no formula is known for {op.kind!r}; add one to hwnas.graph.count")


@cache
def peak_elements(op: Op) -> int:
    """Elements alive at one time while ``op`` computes, its input included.

    The peak is that of an execution primitive by primitive at batch 1 which frees a tensor after its last use, computes
    what goes element by element, normalises or only changes the shape in place, and needs no scratch space. A runtime's
    own arena is larger; what it adds is its own matter (fragmentation, layouts, im2col).
    """
    graph = expanded(op)
    last_use = {name: index for index, node in enumerate(graph) for name in node.inputs}
    alive = {name: prod(shape) for name, shape in zip(graph.inputs, graph.in_shapes, strict=True)}
    peak = sum(alive.values())
    for index, node in enumerate(graph):
        assert isinstance(node.op, Primitive)
        ending = [n for n in dict.fromkeys(node.inputs) if last_use[n] == index and n not in graph.outputs]
        size = prod(node.op.out_shape)
        reused = next((n for n in ending if node.op.in_place and alive[n] == size), None)
        if reused is not None:
            del alive[reused]
        alive[node.place] = size
        inside = node.op.own_peak_elements if isinstance(node.op, Opaque) else 0
        peak = max(peak, sum(alive.values()), inside)
        for name in ending:
            alive.pop(name, None)
    return peak
