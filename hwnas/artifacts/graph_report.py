"""What an ONNX graph says of itself, read back for the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnx import TensorProto

from hwnas.artifacts.manifest import InputReport
from hwnas.errors import ModelError
from hwnas.onnx.read import parsed

_TYPES: dict[int, Literal["float32", "float16", "uint8"]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True, kw_only=True)
class GraphReport:
    """Its input, its opset and its IR version."""

    input: InputReport
    opset: int
    ir_version: int


def graph_report(model: bytes) -> GraphReport:
    """Read it back.

    Raises:
        ModelError: not an ONNX model with one input of images.
    """
    proto = parsed(model)
    entry = proto.graph.input[0]
    type_ = _TYPES.get(entry.type.tensor_type.elem_type)
    if type_ is None:
        raise ModelError(f"the model's input {entry.name} is neither of floats nor of bytes")
    last = entry.type.tensor_type.shape.dim[-1].dim_value
    return GraphReport(
        input=InputReport(name=entry.name, type=type_, layout="NHWC" if last in (1, 3) else "NCHW"),
        opset=next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")),
        ir_version=proto.ir_version,
    )
