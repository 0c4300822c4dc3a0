"""What hwnas doesn't take of ONNX, found before a runtime's parser sees it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import get_args

import numpy as np
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    defs,
    helper,
    numpy_helper,
)

from hwnas.errors import ModelError, nearest
from hwnas.graph.kernel import DType
from hwnas.onnx.read import nodes_of

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
_LOOPS = ("Loop", "Scan", "SequenceMap")
_CONTROL_FLOW = "is control flow, whose latency depends on the data; export without it"
_ALWAYS_READ = 21
"""Opset that every ONNX Runtime reads which hwnas takes."""

_KINDS = {
    "sequence_type": "a sequence", "map_type": "a map", "optional_type": "an optional value",
    "sparse_tensor_type": "a sparse tensor", "opaque_type": "of a type of its own",
}  # fmt: skip

_MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum", "BatchNormalization")


def something_else(data: bytes) -> str | None:
    """What a file is that people take for a model."""
    head = data[:64].lstrip().lower()
    if data[4:8] == b"TFL3":
        return "a TFLite model"
    if data[:4] == b"PK\x03\x04":
        return "a zip archive (as PyTorch's .pt files are)"
    if data[:2] == b"\x80\x02" or (data[:1] == b"\x80" and data[1:2] in (b"\x03", b"\x04", b"\x05")):
        return "a Python pickle"
    if data[:4] == b"\x89HDF":
        return "an HDF5 file (of Keras, perhaps)"
    if head.startswith((b"<!doctype", b"<html")):
        return "an HTML page"
    if head.startswith(b"<?xml"):
        return "XML (of OpenVINO, perhaps)"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS (git lfs pull fetches the file)"
    return "empty" if not data else None


def _what(name: str, node: NodeProto) -> str:
    return f"{name}: node {node.name or next(iter(node.output), '')} ({node.op_type})"


def check_names(proto: ModelProto, name: str) -> None:
    """Raises a ModelError where one isn't text: protobuf gives bytes then, or raises, wherever it is asked for."""
    try:
        told = all(isinstance(each, str) for each in _names(proto))
    except UnicodeDecodeError:
        told = False
    if not told:
        raise ModelError(f"{name} is not an ONNX model, or a damaged one: a name in it isn't UTF-8 text")


def _names(proto: ModelProto) -> Iterator[str]:
    graph = proto.graph
    yield from (each.domain for each in proto.opset_import)
    yield from (each.name for each in (*graph.initializer, *graph.input, *graph.output))
    yield from (dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim)
    for part in (graph, *proto.functions):
        for node in nodes_of(part):
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            yield from (attribute.name for attribute in node.attribute)
    for function in proto.functions:
        yield from (function.domain, function.name, *function.input, *function.output)


def check_opset(proto: ModelProto, name: str) -> None:
    """Raises a ModelError where there is none, or one that ONNX Runtime doesn't read here."""
    opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), None)
    if opset is None and all(node.domain in ("", "ai.onnx") for node in proto.graph.node):
        raise ModelError(f"{name} doesn't say which opset of ONNX it is of; export it anew")
    if opset is not None and opset > _ALWAYS_READ and opset > (newest := newest_opset()):
        raise ModelError(
            f"{name} is of ONNX's opset {opset}, the ONNX Runtime here reads up to {newest}; export with that, or "
            "upgrade onnxruntime"
        )


@cache
def newest_opset() -> int:
    """That the ONNX Runtime here reads; found by asking it, as it has no word for it."""
    import onnxruntime as ort

    value = [helper.make_tensor_value_info(each, TensorProto.FLOAT, (1,)) for each in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    options = ort.SessionOptions()
    options.log_severity_level = 4
    newest = _ALWAYS_READ
    for opset in range(_ALWAYS_READ + 1, defs.onnx_opset_version() + 1):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        try:
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception:  # its exception classes share no public base
            break
        newest = opset
    return newest


def check_types(proto: ModelProto, name: str) -> None:
    """Raises a ModelError for what isn't a plain graph of tensors of numbers, or of operators that no runtime has."""
    local = {(each.domain, each.name) for each in proto.functions}
    for graph in (proto.graph, *proto.functions):
        for node in nodes_of(graph):
            _check_node(node, name, local)
    if proto.graph.sparse_initializer:
        raise ModelError(f"{name} has sparse weights, which no runtime computes as such; save it with dense ones")
    for value in (*proto.graph.input, *proto.graph.output):
        if (kind := value.type.WhichOneof("value")) != "tensor_type":
            told = _KINDS.get(kind or "", "of no type")
            raise ModelError(f"{name}: {value.name} is {told}, hwnas takes tensors only")
    for value in proto.graph.input:
        check_dtype(value, name)


def _check_node(node: NodeProto, name: str, local: set[tuple[str, str]]) -> None:
    what = _what(name, node)
    if (node.domain, node.op_type) in local:
        return
    if node.op_type in _LOOPS:
        raise ModelError(f"{what} {_CONTROL_FLOW}")
    if node.domain not in _DOMAINS:
        raise ModelError(f"{what} is a custom operator of {node.domain}, which no runtime here has")
    if node.domain in ("", "ai.onnx") and node.op_type not in (known := _operators()):
        near = nearest(node.op_type, known)
        raise ModelError(f"{what} is no operator of ONNX{f'; did you mean {near}?' if near else ''}")
    if node.op_type in _containers():
        raise ModelError(f"{what} is of sequences, optional values or text; hwnas takes tensors of numbers only")


def check_branches(proto: ModelProto, name: str) -> None:
    """Raises a ModelError for an ``If`` of which isn't known what it takes."""
    for node in nodes_of(proto.graph):
        if node.op_type == "If":
            raise ModelError(f"{_what(name, node)} {_CONTROL_FLOW}")


@cache
def _operators() -> frozenset[str]:
    return frozenset(schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == "")


@cache
def _containers() -> frozenset[str]:
    """Operators that take or give nothing but sequences, optional values or text at one of their places."""
    found = set()
    for schema in defs.get_all_schemas():
        if any(place.types and all(map(_no_numbers, place.types)) for place in (*schema.inputs, *schema.outputs)):
            found.add(schema.name)
    return frozenset(found)


def _no_numbers(kind: str) -> bool:
    return not kind.startswith("tensor(") or kind == "tensor(string)"


def check_dtype(value: ValueInfoProto, name: str) -> None:
    """Raises a ModelError where an input or output isn't of numbers."""
    try:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except KeyError:
        dtype = "of no type"
    if dtype not in get_args(DType):
        told = "text" if value.type.tensor_type.elem_type == TensorProto.STRING else f"values {dtype}"
        raise ModelError(f"{name}: {value.name} holds {told}; hwnas takes numbers: {', '.join(get_args(DType))}")


def check_graph(proto: ModelProto, name: str) -> None:
    """Raises a ModelError where a node reads what nothing before it gives, or two give the same."""
    known = {""}
    for value in (*proto.graph.input, *proto.graph.initializer):
        if value.name in known:
            raise ModelError(f"{name}: {value.name or 'a value without a name'} is there twice")
        known.add(value.name)
    later = {value for node in proto.graph.node for value in node.output}
    for node in proto.graph.node:
        for value in node.input:
            if value not in known:
                why = "a node behind it gives: a cycle, or nodes out of order" if value in later else "nothing gives"
                raise ModelError(f"{_what(name, node)} reads {value}, which {why}")
        for value in filter(None, node.output):
            if value in known:
                raise ModelError(f"{_what(name, node)} gives {value}, which is there already")
            known.add(value)
    for output in proto.graph.output:
        if output.name not in known:
            raise ModelError(f"{name}: nothing gives its output {output.name}")


def check_numbers(proto: ModelProto, name: str) -> None:
    """Raises a ModelError for a weight that is NaN, or infinite where it is multiplied; a mask may be infinite."""
    multiplied = {value for node in proto.graph.node if node.op_type in _MULTIPLYING for value in node.input}
    for tensor in proto.graph.initializer:
        if tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
            continue
        try:
            numbers = numpy_helper.to_array(tensor)
        except (ValueError, TypeError):
            raise ModelError(f"{name}: its weight {tensor.name} holds fewer numbers than its shape has") from None
        if not numbers.size or np.isfinite(ends := [numbers.min(), numbers.max()]).all():
            continue
        if np.isnan(ends).any() or tensor.name in multiplied:
            kind = "NaN" if np.isnan(ends).any() else "infinite"
            raise ModelError(f"{name}: its weight {tensor.name} has values that are {kind}; train or export it anew")
