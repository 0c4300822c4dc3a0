"""What the runtimes that take ONNX apart themselves need of it."""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from hwnas.errors import ModelError, first_line
from hwnas.onnx.wire import check_self_contained

WEIGHTED = ("Conv", "Gemm")
"""Kinds of nodes whose second input is a weight: the layers that precisions and costs are told of."""


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
    """A serialized model with one image input, one output, and its weights inside.

    Raises:
        ModelError: it isn't that.
    """
    proto = parsed(model)
    entries = entries_of(proto)
    if len(entries) != 1 or len(proto.graph.output) != 1:
        raise ModelError(f"a model has one input and one output, not {len(entries)} and {len(proto.graph.output)}")
    input_chw(proto)
    return proto


def entries_of(proto: ModelProto) -> list[ValueInfoProto]:
    """The model's inputs: old files list its weights among them."""
    weights = {weight.name for weight in proto.graph.initializer}
    return [entry for entry in proto.graph.input if entry.name not in weights]


def input_chw(proto: ModelProto) -> tuple[int, ...]:
    """Channels, height and width of the model's input.

    Raises:
        ModelError: they aren't fixed.
    """
    dims = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    if len(dims) != 4 or not all(dims[1:]):
        raise ModelError(f"a model takes (batch, channels, height, width) of fixed size, not {dims}")
    return dims[1], dims[2], dims[3]


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """The graph's constants by the names that layers read: also those behind a DequantizeLinear, as they are stored."""
    found = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
