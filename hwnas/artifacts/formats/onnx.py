"""ONNX: one file, for any runtime that loads it."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto

from hwnas.artifacts.formats.base import Files, complete
from hwnas.artifacts.formats.structure import Structure, graph_structure
from hwnas.onnx.computed import computed_precisions
from hwnas.onnx.precision.int8 import ONNXRUNTIME, OPENVINO, TENSORRT, Preset
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.onnxruntime import OnnxRuntimeSession
from hwnas.runtimes.registry import get_runtime

_PRESETS = {"cpu": ONNXRUNTIME, "openvino": OPENVINO, "cuda": TENSORRT, "tensorrt": TENSORRT}
_NAMES = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
}


class OnnxFormat:
    """See :class:`hwnas.artifacts.formats.base.Format`."""

    name = "onnx"
    suffixes: tuple[str, ...] = (".onnx",)

    def runtime(self, target: Target) -> Runtime:
        return get_runtime(target.runtime, target.options)

    def preset(self, target: Target) -> Preset:
        return _PRESETS.get(target.options.get("provider", "cpu"), ONNXRUNTIME)

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        return {".onnx": graph}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        complete(self, files)
        return self.runtime(target).load(files[".onnx"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        if isinstance(session, OnnxRuntimeSession) and session.on_cpu:
            return computed_precisions(files[".onnx"])
        return weight_precisions(files[".onnx"])

    def structure(self, files: Files) -> Structure:
        return graph_structure(files[".onnx"])


def weight_precisions(model: bytes) -> dict[str, int]:
    """{precision: layers whose weights have it} of an ONNX model, weights behind a DequantizeLinear included."""
    graph = onnx.load_from_string(model).graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in kinds:
            kinds[node.output[0]] = kinds[node.input[0]]
    layers = [kinds.get(node.input[1], 0) for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return dict(Counter(_NAMES.get(kind, "unknown") for kind in layers))
