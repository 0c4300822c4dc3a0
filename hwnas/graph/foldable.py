"""Which linear neighbours become one when a network is deployed: BN in a convolution, a 1×1 convolution in a block."""

from __future__ import annotations

from typing import NamedTuple

from hwnas.graph.graph import Graph, Node, Op, expanded
from hwnas.graph.opaque import Opaque
from hwnas.graph.primitives import Activation, Add, Conv, Linear, Norm


def norm_behind(graph: Graph, conv: Node) -> Node | None:
    """The BN that is all that reads a convolution, and so folds into it."""
    if not isinstance(conv.op, Conv) or conv.place in graph.outputs:
        return None
    readers = graph.readers[conv.place]
    return readers[0] if len(readers) == 1 and isinstance(readers[0].op, Norm) else None


class Exit(NamedTuple):
    """Places of the last convolution of a block and of the BN behind it."""

    conv: str
    norm: str


def entry_of(op: Op) -> str | None:
    """Place, in an op, of the 1×1 convolution that alone reads what goes in: one in front of the op folds into it.

    So it is exact in training as well, since the BN behind it sees what it saw before.
    """
    graph = expanded(op)
    readers = graph.readers[graph.inputs[0]]
    if len(readers) != 1 or not isinstance(readers[0].op, Conv) or not readers[0].op.is_pointwise:
        return None
    return readers[0].place


def exit_of(op: Op) -> Exit | None:
    """Places, in an op, of the 1×1 convolution and the BN that its output comes from: one behind it folds into them.

    That is exact in eval mode, where BN is linear.
    """
    graph = expanded(op)
    norm = graph.maker(graph.outputs[0])
    conv = graph.maker(norm.inputs[0]) if norm and isinstance(norm.op, Norm) else None
    if norm is None or conv is None or not isinstance(conv.op, Conv) or not conv.op.is_pointwise:
        return None
    return Exit(conv.place, norm.place) if norm_behind(graph, conv) == norm else None


def residual_ends_of(op: Op) -> tuple[str, ...]:
    """Places, in an op, of the BN or the linear layer that each residual branch ends in: f of all x + f(x)."""
    graph = expanded(op)
    seen: dict[str, set[str]] = {name: {name} for name in graph.inputs}  # by each value: the values that it is made of
    ends = []
    for node in graph:
        seen[node.place] = {node.place}.union(*(seen[name] for name in node.inputs))
        if isinstance(node.op, Add):
            for end, other in (node.inputs, node.inputs[::-1]):
                maker = graph.maker(end)
                if maker and isinstance(maker.op, Norm | Linear) and other in seen[end]:
                    ends.append(end)
    return tuple(ends)


def is_identity(op: Op) -> bool:
    """Whether it passes on what comes in, with nothing to compute or to learn."""
    return not expanded(op).nodes


def is_linear(op: Op) -> bool:
    """Whether it adds no depth: a skip, or what only changes the shape."""
    return not any(isinstance(node.op, Activation | Opaque) for node in expanded(op))
