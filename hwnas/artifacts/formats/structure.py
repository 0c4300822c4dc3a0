"""What a written file computes, counted in the file itself and held against the graph that it was made of."""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx

from hwnas.errors import CountError


class Structure(NamedTuple):
    """Convolutions and linear layers.

    Attributes:
        layers: how many.
        weights: of all of them, without biases.
        madds: multiply-adds of one image.
    """

    layers: int
    weights: int
    madds: int


def graph_structure(graph: bytes) -> Structure:
    """Counted in a serialized ONNX graph, weights behind a DequantizeLinear included."""
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True).graph
    sizes = {weight.name: math.prod(weight.dims) for weight in proto.initializer}
    for node in proto.node:
        if node.op_type in ("DequantizeLinear", "Cast") and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    pixels = {
        value.name: math.prod(side.dim_value for side in value.type.tensor_type.shape.dim[2:])
        for value in (*proto.value_info, *proto.output)
    }
    weighted = [
        (sizes[node.input[1]], pixels[node.output[0]]) for node in proto.node if node.op_type in ("Conv", "Gemm")
    ]
    return _of(weighted)


def _of(weighted: list[tuple[int, int]]) -> Structure:
    return Structure(len(weighted), sum(size for size, _ in weighted), sum(size * at for size, at in weighted))


def check_written(found: Structure, graph: bytes) -> None:
    """Hold what a file has against the graph it was made of.

    Raises:
        CountError: they differ.
    """
    expected = graph_structure(graph)
    for name, here, there in zip(Structure._fields, found, expected, strict=True):
        if here != there:
            raise CountError(
                f"the written file has {here:,} {name} of convolutions and linear layers, its graph {there:,}"
            )
