"""A model without its own weights, for what asks for shapes, or for time: few kilobytes in place of many megabytes."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, load_from_string, numpy_helper

from hwnas.onnx.stand_in import repeating

_LARGE_ELEMENTS = 1024
_MOST_OF_A_WEIGHT = 1e4
"""Larger numbers are of masks."""
_REPEATED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8)


def large_weights(proto: ModelProto) -> list[TensorProto]:
    """Those that no shape is read from."""
    return [weight for weight in proto.graph.initializer if prod(weight.dims) > _LARGE_ELEMENTS]


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


def with_repeating_weights(model: bytes) -> bytes:
    """A serialized model with numbers in its large weights that repeat, so that it packs into little.

    They have the mean and the spread of the weight's own, so activations keep their size. Vectors stay, of which some
    must be positive, integers that may be indices, and what holds larger numbers than weights do.
    """
    proto = load_from_string(model)
    for weight in large_weights(proto):
        if weight.data_type not in _REPEATED or len(weight.dims) < 2:
            continue
        own = numpy_helper.to_array(weight)
        floats = own.astype(np.float32)
        if not np.abs(floats).max() < _MOST_OF_A_WEIGHT:
            continue
        made = repeating(own.shape) * floats.std() + floats.mean()
        if np.issubdtype(own.dtype, np.integer):
            limits = np.iinfo(own.dtype)
            made = np.clip(np.rint(made), limits.min, limits.max)
        weight.CopyFrom(numpy_helper.from_array(made.astype(own.dtype), weight.name))
    return bytes(proto.SerializeToString(deterministic=True))


def _copy(message: ModelProto | GraphProto, field: str, value: object) -> None:
    """A field of a protobuf message, whether it holds one value, one message or a list."""
    if isinstance(value, str | bytes | int):
        setattr(message, field, value)
    else:
        getattr(message, field).MergeFrom(value)
