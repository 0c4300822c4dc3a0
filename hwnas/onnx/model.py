"""Anyone's ONNX file -> `OnnxModel`: whole, of fixed shapes, its weights inside; or one line why it can't be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from hwnas.arrays import Port
from hwnas.brief import Brief
from hwnas.errors import ModelError, first_line, unknown
from hwnas.files import read_bytes

Shapes = Mapping[str, tuple[int, ...]]
"""{name of an input: its shape, the batch included}."""

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_BRANCHES = ("If", "Loop", "Scan")
_MOST_BYTES = 2**31 - 1


@dataclass(frozen=True, repr=False)
class OnnxModel(Brief):
    """Somebody's network.

    Attributes:
        name: as it was asked for: the file's path, or ``module:callable``.
        data: the serialized model.
        inputs, outputs: what it takes and gives; all sizes of inputs are fixed, of an output 0 stands for one that
            depends on the data.
    """

    name: str
    data: bytes = field(repr=False)
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @cached_property
    def sha256(self) -> str:
        """Of ``data``: what tells two models apart."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def proto(self) -> ModelProto:
        """``data``, parsed."""
        return onnx.load_from_string(self.data)


def read_model(path: Path | str, shapes: Shapes | None = None) -> OnnxModel:
    """Read a file; a batch that the file leaves open is 1, unless ``shapes`` says otherwise.

    Raises:
        ModelError: it isn't an ONNX model, or one that hwnas doesn't take: a size of an input that nobody gave, control
            flow, sequences, operators that no runtime has, weights elsewhere than beside the file.
    """
    path = Path(path)
    return model_of(read_bytes(path, ModelError), str(path), shapes, folder=path.parent)


def model_of(data: bytes, name: str, shapes: Shapes | None = None, *, folder: Path | None = None) -> OnnxModel:
    """A model from what its file holds; ``folder`` is where its weights may lie beside it. Raises as `read_model`."""
    if kind := _something_else(data):
        raise ModelError(f"{name} is {kind}, not an ONNX model; export the network to ONNX first")
    try:
        proto = onnx.load_from_string(data)
    except Exception as error:  # protobuf's exceptions share no public base
        raise ModelError(f"{name} is not an ONNX model: {first_line(error)}") from None
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{name} is not an ONNX model, or one without nodes")
    _check_kinds(proto, name)
    weights = {weight.name for weight in proto.graph.initializer}
    entries = [entry for entry in proto.graph.input if entry.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(entries)
    _fix_shapes(proto, shapes or {}, name)
    try:
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception as error:  # its exceptions share no public base
        raise ModelError(f"{name}: its shapes don't fit each other: {first_line(error)}") from None
    inputs, outputs = (tuple(map(port_of, values)) for values in (proto.graph.input, proto.graph.output))
    return OnnxModel(name, proto.SerializeToString(deterministic=True), inputs, outputs)


def _something_else(data: bytes) -> str | None:
    """What a file is that people take for a model."""
    head = data[:64].lstrip().lower()
    if data[4:8] == b"TFL3":
        return "a TFLite model"
    if data[:4] == b"PK\x03\x04":
        return "a zip archive (as PyTorch's .pt files are)"
    if data[:2] == b"\x80\x02" or (data[:1] == b"\x80" and data[1:2] in b"\x03\x04\x05"):
        return "a Python pickle"
    if head.startswith((b"<!doctype", b"<html")):
        return "an HTML page"
    if head.startswith(b"<?xml"):
        return "XML (of OpenVINO, perhaps)"
    return "empty" if not data else None


def _check_kinds(proto: ModelProto, name: str) -> None:
    for node in _nodes(proto.graph):
        what = f"{name}: node {node.name or node.output[0]} ({node.op_type})"
        if node.op_type in _BRANCHES:
            raise ModelError(f"{what} is control flow, whose latency depends on the data; export without it")
        local = {(each.domain, each.name) for each in proto.functions}
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in local:
            raise ModelError(f"{what} is a custom operator of {node.domain}, which no runtime here has")
    for value in (*proto.graph.input, *proto.graph.output):
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{name}: {value.name} is a {value.type.WhichOneof('value')}, hwnas takes tensors only")
        if value.type.tensor_type.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
            raise ModelError(f"{name}: {value.name} holds text or values of no type, hwnas takes numbers")


def _nodes(graph: GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _fix_shapes(proto: ModelProto, shapes: Shapes, name: str) -> None:
    entries = {entry.name: entry for entry in proto.graph.input}
    for given in shapes:
        if given not in entries:
            raise ModelError(f"{name}: {unknown('input', given, list(entries))}")
    for entry in proto.graph.input:
        dims = entry.type.tensor_type.shape.dim
        if (wanted := shapes.get(entry.name)) is not None:
            said = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
            fits = len(wanted) == len(dims) and all(old in (None, new) for old, new in zip(said, wanted, strict=False))
            if not fits or not all(size > 0 for size in wanted):
                raise ModelError(f"{name}: its input {entry.name} is {_shape(entry)}, not {'x'.join(map(str, wanted))}")
            for dim, size in zip(dims, wanted, strict=True):
                dim.dim_value = size
        elif dims and not dims[0].dim_value and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
        if any(not dim.dim_value for dim in dims) or not entry.type.tensor_type.HasField("shape"):
            like = "x".join(str(dim.dim_value or 224) for dim in dims)
            raise ModelError(
                f"{name}: its input {entry.name} is {_shape(entry)}; fix the sizes, as --shape {entry.name}={like}"
            )
    del proto.graph.value_info[:]
    for output in proto.graph.output:  # what was inferred for other sizes no longer holds
        output.type.tensor_type.ClearField("shape")


def _shape(entry: ValueInfoProto) -> str:
    return "x".join(str(d.dim_value or d.dim_param or "?") for d in entry.type.tensor_type.shape.dim) or "of no shape"


def port_of(value: ValueInfoProto) -> Port:
    """What a graph says of one of its inputs or outputs; 0 is a size that it leaves open."""
    kind = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return Port(value.name, dtype, tuple(dim.dim_value for dim in kind.shape.dim))
