"""Parts of a network that int8 may leave in float, found by the shape of its ONNX graph."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

PARTS = ("se", "depthwise", "first", "last")
"""Squeeze-and-excitation with its pooling and its product; depthwise convolutions; the first and the last layer with
weights."""

_WEIGHTED = ("Conv", "Gemm")
_IN_A_GATE = ("Conv", "Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid")


def nodes_of(proto: ModelProto, part: str) -> set[str]:
    """Names of a part's nodes; empty where the network has no such part."""
    nodes = proto.graph.node
    if part == "se":
        givers = {node.output[0]: node for node in nodes}
        return {name for node in nodes if node.op_type == "Mul" for name in _gated(node, givers)}
    if part == "depthwise":
        return {node.name for node in nodes if any(a.name == "group" and a.i > 1 for a in node.attribute)}
    weighted = [node.name for node in nodes if node.op_type in _WEIGHTED]
    return set(weighted[:1] if part == "first" else weighted[-1:])


def _gated(product: NodeProto, givers: dict[str, NodeProto]) -> set[str]:
    """The product, its gate and the pooling that the gate starts with; empty where no factor is a gate."""
    for factor in product.input:
        gate = {product.name}
        node = givers.get(factor)
        while node is not None and node.op_type in _IN_A_GATE:
            gate.add(node.name)
            node = givers.get(node.input[0])
        if node is not None and node.op_type == "GlobalAveragePool":
            return gate | {node.name}
    return set()
