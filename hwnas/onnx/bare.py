"""A model without its weights, for what asks for shapes alone: a few kilobytes in place of hundreds of megabytes."""

from __future__ import annotations

from collections.abc import Collection

from onnx import GraphProto, ModelProto, TensorProto, helper

_LARGE_BYTES = 4096


def large_weights(proto: ModelProto) -> list[TensorProto]:
    """Those that no shape is read from."""
    return [weight for weight in proto.graph.initializer if weight.ByteSize() > _LARGE_BYTES]


def without_weights(proto: ModelProto, names: Collection[str]) -> ModelProto:
    """A copy of all but these initializers."""
    bare = ModelProto()
    for field, value in proto.ListFields():
        if field.name != "graph":
            _copy(bare, field.name, value)
    for field, value in proto.graph.ListFields():
        if field.name != "initializer":
            _copy(bare.graph, field.name, value)
    bare.graph.initializer.extend(each for each in proto.graph.initializer if each.name not in names)
    return bare


def with_stand_ins(proto: ModelProto) -> ModelProto:
    """A copy whose large weights in fp32 are filled with one number by nodes in front of all others."""
    weights = [weight for weight in large_weights(proto) if weight.data_type == TensorProto.FLOAT]
    bare = without_weights(proto, {weight.name for weight in weights})
    nodes = list(bare.graph.node)
    del bare.graph.node[:]
    for weight in weights:
        shape = helper.make_tensor(f"{weight.name}/shape", TensorProto.INT64, (len(weight.dims),), weight.dims)
        value = helper.make_tensor("value", TensorProto.FLOAT, (1,), (0.01,))
        bare.graph.initializer.append(shape)
        bare.graph.node.append(helper.make_node("ConstantOfShape", [shape.name], [weight.name], value=value))
    bare.graph.node.extend(nodes)
    return bare


def _copy(message: ModelProto | GraphProto, field: str, value: object) -> None:
    """A field of a protobuf message, whether it holds one value, one message or a list."""
    if isinstance(value, str | bytes | int):
        setattr(message, field, value)
    else:
        getattr(message, field).MergeFrom(value)
