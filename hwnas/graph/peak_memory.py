"""Activations that are alive at one time.

The peak is that of an execution primitive by primitive at batch 1 which frees a tensor after its last use, computes BN,
activation functions, SE's product and the residual's addition in place, and needs no scratch space. A runtime's own
arena is larger; what it adds is its own matter (fragmentation, layouts, im2col).
"""

from __future__ import annotations

from functools import cache
from math import prod

from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Primitive


@cache
def peak_elements(op: Op) -> int:
    """Elements alive at one time while ``op`` computes, its input included."""
    return peak_of(expanded(op))


def peak_of(graph: Graph) -> int:
    """The same of a graph of primitives."""
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
        peak = max(peak, sum(alive.values()))
        for name in ending:
            alive.pop(name, None)
    return peak
