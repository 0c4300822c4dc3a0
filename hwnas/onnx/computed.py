"""What layers compute in: as the graph has it, and as ONNX Runtime's CPU provider runs it after all its fusions."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hwnas.errors import ModelError, OutputError, first_line
from hwnas.onnx.read import constants, is_layer
from hwnas.onnx.wire import check_self_contained
from hwnas.records.target import IR_VERSION, OPSET, Precision

_INT8 = ("QLinearConv", "QGemm", "QLinearMatMul", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat")
_FLOAT = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")  # its blocked Conv has this name too
_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
}


def weight_precisions(model: bytes) -> dict[str, int]:
    """{precision: layers whose weights have it}."""
    graph = onnx.load_from_string(model).graph
    kinds = {name: weight.data_type for name, weight in constants(graph).items()}
    layers = [kinds.get(node.input[1], 0) for node in graph.node if is_layer(node, kinds)]
    return dict(Counter(_NAMES.get(kind, "unknown") for kind in layers))


def coarsest(proto: ModelProto) -> Precision:
    """The coarsest precision that a graph holds weights, or quantizes values, in."""
    kinds = {weight.data_type for weight in proto.graph.initializer}
    if any(node.op_type in (*_INT8, "QuantizeLinear", "DynamicQuantizeLinear") for node in proto.graph.node):
        return "int8"
    if TensorProto.BFLOAT16 in kinds:
        return "bf16"
    return "fp16" if TensorProto.FLOAT16 in kinds else "fp32"


def optimized(model: bytes) -> ModelProto:
    """The graph that ONNX Runtime's CPU provider runs.

    Raises:
        ModelError: it can't load the model.
        OutputError: the disk for temporary files is full.
    """
    check_self_contained(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception classes share no public base
            if path.exists():  # so the model is loaded, and what was made of it isn't written
                raise OutputError(f"can't write {path}: {first_line(error)}; check the free space") from None
            raise ModelError(f"ONNX Runtime can't load the model: {first_line(error)}") from None
        return onnx.load(path)


def computed_precisions(model: bytes) -> dict[str, int]:
    """{precision: layers with weights that are computed in it}: int8 layers that didn't fuse count as fp32."""
    graph = optimized(model).graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    known = constants(graph)
    found: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _INT8:
            found["int8"] += 1
        elif node.op_type in _FLOAT and (node.input[1] in known or "MatMul" not in node.op_type):
            found[_NAMES.get(kinds.get(node.input[1], TensorProto.FLOAT), "fp32")] += 1
    return dict(found)


def block() -> int:
    """Channels that ONNX Runtime's CPU provider has in one block of its layout here; 1 where it has none.

    Read from what it makes of a convolution with one output channel.
    """
    weight = numpy_helper.from_array(np.ones((1, 64, 1, 1), np.float32), "weight")
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, c, 8, 8)) for name, c in (("x", 64), ("y", 1))]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weight"], ["y"])], "one", shapes[:1], shapes[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return int(max(weight.dims[0] for weight in optimized(model.SerializeToString()).graph.initializer))
