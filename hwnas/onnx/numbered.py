"""Names by which a node is known again in what a runtime makes of its model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from onnx import ModelProto, NodeProto

_NODE = re.compile(r"hwnas(\d+)(?!\d)")
_VALUE = re.compile(r"hwnas(\d+):(\d+)(?!\d)")


def numbered(proto: ModelProto) -> ModelProto:
    """A copy in which node 17 and what it gives are called after their number.

    Names in a file may be missing, or twice there, and have any sign in them.
    """
    result = ModelProto()
    result.CopyFrom(proto)
    names: dict[str, str] = {}
    for index, node in enumerate(proto.graph.node):
        names |= {name: f"hwnas{index}:{port}" for port, name in enumerate(node.output) if name}
    for index, node in enumerate(result.graph.node):
        node.name = f"hwnas{index}"
        for given in (node.input, node.output):
            given[:] = [names.get(name, name) for name in given]
    for output in result.graph.output:
        output.name = names.get(output.name, output.name)
    del result.graph.value_info[:]
    return result


def name_apart(nodes: Iterable[NodeProto]) -> None:
    """Give each a name of its own: the one it has, or that of what it gives, and a number behind one that is taken."""
    taken: set[str] = set()
    for index, node in enumerate(nodes):
        name = node.name or next(filter(None, node.output), node.op_type)
        while name in taken:
            name = f"{name}.{index}"
        node.name = name
        taken.add(name)


def node_in(text: str) -> int | None:
    """The number of the node after which something is called, None where it isn't."""
    found = _NODE.match(text)
    return int(found[1]) if found else None


def value_in(text: str) -> tuple[int, int] | None:
    """Likewise of a value: its node's number, and which of what it gives."""
    found = _VALUE.match(text)
    return (int(found[1]), int(found[2])) if found else None
