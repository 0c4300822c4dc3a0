"""Somebody's graph -> the same in the form that precisions and formats take: what they are all made of."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import GraphProto, ModelProto, helper, inliner, version_converter

from hwnas.arrays import Port
from hwnas.errors import ModelError, first_line
from hwnas.onnx.model import OnnxModel
from hwnas.onnx.numbered import name_apart

LEAST_OPSET = 14
"""Of the graphs that are exported: what int8 is written in begins with 13."""


def plain(model: OnnxModel, outputs: Sequence[Port], ir_version: int) -> bytes:
    """The same function, as ONNX Runtime's basic optimizations write it: constants and batch norms folded, what serves
    nothing left out, and no operators but those that it had. Weights are initializers, nodes have names of their own,
    and nothing tells of the machine that it was made on.

    Args:
        model: whose graph it is.
        outputs: what it gives, all sizes known.
        ir_version: of the graph.

    Raises:
        ModelError: an opset below :data:`LEAST_OPSET` can't be raised to it, or ONNX Runtime can't load the model.
    """
    proto = onnx.load_from_string(model.data)
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    if opset_of(proto) < LEAST_OPSET:
        try:
            proto = version_converter.convert_version(proto, LEAST_OPSET)
        except Exception as error:  # its exceptions share no public base
            raise ModelError(
                f"{model.name} has opset {opset_of(proto)}, which can't be raised to {LEAST_OPSET}: "
                f"{first_line(error)}; export it with a newer opset"
            ) from None
    used = {"", "ai.onnx"} | {node.domain for node in proto.graph.node}
    known = {entry.name for entry in proto.graph.input} | {weight.name for weight in proto.graph.initializer}
    known |= {name for node in proto.graph.node for name in (*node.input, *node.output)}
    proto = _folded(proto, model.name)
    _rename(proto.graph, known)
    if strange := {node.domain for node in proto.graph.node} - used:
        raise ModelError(f"{model.name}: this ONNX Runtime writes operators of {', '.join(strange)} into its graph")
    kept = [each for each in proto.opset_import if each.domain in used]
    del proto.opset_import[:], proto.metadata_props[:], proto.graph.value_info[:]
    proto.opset_import.extend(kept)
    proto.ir_version, proto.producer_name, proto.producer_version = ir_version, "", ""
    proto.doc_string = proto.domain = proto.graph.doc_string = ""
    _say_nothing_else(proto.graph)
    for value, port in zip(proto.graph.output, outputs, strict=True):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, port.shape))
    return bytes(proto.SerializeToString(deterministic=True))


def opset_of(proto: ModelProto) -> int:
    """Of ONNX's own operators."""
    return next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)


def _folded(proto: ModelProto, name: str) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception classes share no public base
            raise ModelError(f"{name}: ONNX Runtime can't load it: {first_line(error)}") from None
        return onnx.load(path)


def _rename(graph: GraphProto, known: set[str]) -> None:
    """Values that ONNX Runtime made: when it loads the graph it makes others, and would call them alike."""

    def renamed(name: str) -> str:
        return name if name in known else f"folded.{name}"

    for node in graph.node:
        node.input[:] = [renamed(name) if name else name for name in node.input]
        node.output[:] = [renamed(name) if name else name for name in node.output]
    for weight in graph.initializer:
        weight.name = renamed(weight.name)


def _say_nothing_else(graph: GraphProto) -> None:
    """Names of nodes, each its own; of exporters' notes, such as places in their source, none."""
    name_apart(graph.node)
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del graph.metadata_props[:]
