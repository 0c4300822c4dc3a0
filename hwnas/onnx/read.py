"""What those who take an ONNX graph apart need of it."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from hwnas.errors import ModelError, first_line
from hwnas.onnx.wire import check_self_contained

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_KINDS = ("images (batch, channels, height, width)", "tokens (batch, tokens, channels)")


def parsed(model: bytes) -> ModelProto:
    """A serialized model with its weights inside.

    Raises:
        ModelError: it isn't that.
    """
    check_self_contained(model)
    try:
        proto = onnx.load_from_string(model)
    except Exception as error:  # protobuf's exceptions share no public base
        raise ModelError(f"not an ONNX model: {first_line(error)}") from None
    if not proto.graph.output:
        raise ModelError("not an ONNX model, or one without an output")
    return proto


def parsed_network(model: bytes) -> ModelProto:
    """A serialized model with one input, of images or of tokens, one output, and its weights inside.

    Raises:
        ModelError: it isn't that.
    """
    proto = parsed(model)
    entries = entries_of(proto)
    if len(entries) != 1 or len(proto.graph.output) != 1:
        raise ModelError(f"a model has one input and one output, not {len(entries)} and {len(proto.graph.output)}")
    input_chw(proto)
    return proto


def nodes_of(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """All nodes, those of subgraphs included; no recursion, however deep they lie."""
    waiting = [graph.node]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting += [inner.node for inner in (attribute.g, *attribute.graphs) if inner.node]


def has_branches(proto: ModelProto) -> bool:
    """Whether there is an ``If`` anywhere in it."""
    return any(node.op_type == "If" for part in (proto.graph, *proto.functions) for node in nodes_of(part))


def entries_of(proto: ModelProto) -> list[ValueInfoProto]:
    """The model's inputs: old files list its weights among them."""
    weights = {weight.name for weight in proto.graph.initializer}
    return [entry for entry in proto.graph.input if entry.name not in weights]


def input_chw(proto: ModelProto) -> tuple[int, ...]:
    """Channels, height and width of the model's input; of a part that takes tokens, their number and channels.

    Raises:
        ModelError: they aren't fixed.
    """
    dims = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    if len(dims) not in (3, 4) or not all(dims[1:]):
        raise ModelError(f"a model takes {' or '.join(_KINDS)} of fixed size, not {dims}")
    return tuple(dims[1:])


def is_layer(node: NodeProto, known: Container[str]) -> bool:
    """Whether a node's second input is a weight: the layers that precisions and costs are told of.

    Args:
        node: any.
        known: names of the graph's :func:`constants`: attention multiplies two values.
    """
    return node.op_type in _WEIGHTED and node.input[1] in known


def floats(proto: ModelProto) -> set[str]:
    """Names of the values, constants among them, that are float32."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    known |= {weight.name: weight.data_type for weight in graph.initializer}
    found = {name for name, kind in known.items() if kind == TensorProto.FLOAT}
    for node in graph.node:  # of operators that ONNX doesn't have: as they are given
        if node.domain not in ("", "ai.onnx") and not found.isdisjoint(node.input):
            found |= {name for name in node.output if name and name not in known}
    return found


def endless(proto: ModelProto) -> set[str]:
    """Names of the constants that are infinite as masks of attention are, and of what is made with them.

    That is up to a softmax, behind which they are zeros; a constant whose infinity reaches an output is no mask.
    """
    found: set[str] = set()
    for weight in proto.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.isinf(numpy_helper.to_array(weight)).any():
            reached = {weight.name}
            for node in proto.graph.node:
                if node.op_type != "Softmax" and not reached.isdisjoint(node.input):
                    reached.update(node.output)
            if reached.isdisjoint(output.name for output in proto.graph.output):
                found |= reached
    return found


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """The graph's constants by the names that layers read: also those behind a DequantizeLinear, as they are stored."""
    found = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
