"""The kernels of TensorRT, as far as they can be told without a GPU: the layers of the network that its parser made.

A build fuses these further. How, only the engine tells, and that can't be read where its GPU isn't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto

from hwnas.graph.kernel import Launch
from hwnas.onnx.kernels import Part, launches, values_of
from hwnas.onnx.numbered import node_in

_LAYER = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


def kernels_of(proto: ModelProto, network: Any) -> tuple[Launch, ...]:
    """The kernels of a model that was parsed as ``numbered``, in its order.

    Raises:
        ModelError: the model can't be run.
    """
    return launches(proto, _parts(proto.graph, _computed(network)), values_of(proto))


def _computed(network: Any) -> set[int]:
    """Numbers of the nodes that layers come from; the parser does arithmetic of constants itself."""
    told = [network.get_layer(index).metadata for index in range(network.num_layers)]
    return {node for text in told for name in _LAYER.findall(text) if (node := node_in(name)) is not None}


def _parts(graph: GraphProto, computed: set[int]) -> Iterator[Part]:
    """Each node between the conversions of what it takes to float, and of what it gives to int8: so it runs in int8."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    told: set[int] = set()
    for index, node in enumerate(graph.node):
        if index not in computed or node.op_type == "DequantizeLinear" or id(node) in told:
            continue
        before = [makers[name] for name in node.input if name in makers and makers[name].op_type == "DequantizeLinear"]
        behind = [reader for name in node.output for reader in readers.get(name, ())]
        if [reader.op_type for reader in behind] != ["QuantizeLinear"]:
            behind = []
        told.update(id(each) for each in behind)
        yield Part(node.name or node.output[0], [*before, node, *behind])
