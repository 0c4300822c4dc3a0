"""fp32 ONNX -> the same graph in fp16, input and output still fp32: for runtimes whose precision is the graph's."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ModelError
from hwnas.runtimes.graph import parsed


def to_half(model: bytes) -> bytes:
    """Weights and all arithmetic in fp16, between a Cast of the input and one of the output.

    Raises:
        ModelError: not an fp32 ONNX model, or a weight is beyond fp16's range.
    """
    proto = parsed(model)
    graph = proto.graph
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        with np.errstate(over="ignore"):
            halves = numpy_helper.to_array(weight).astype(np.float16)
        if not np.isfinite(halves).all():
            raise ModelError(f"weight {weight.name} doesn't fit fp16; use fp32 or bf16")
        weight.CopyFrom(numpy_helper.from_array(halves, weight.name))
    entry, result = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in (entry, result):
                    names[index] = f"{name}.half"
    graph.node.insert(
        0, helper.make_node("Cast", [entry], [f"{entry}.half"], f"{entry}.to_half", to=TensorProto.FLOAT16)
    )
    graph.node.append(
        helper.make_node("Cast", [f"{result}.half"], [result], f"{result}.to_float", to=TensorProto.FLOAT)
    )
    del graph.value_info[:]  # types that aren't true any more
    return bytes(proto.SerializeToString(deterministic=True))
