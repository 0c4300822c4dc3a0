"""Anyone's ONNX file -> `OnnxModel`: whole, of fixed shapes, its weights inside; or one line why it can't be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx
from onnx import ModelProto, TensorShapeProto, ValueInfoProto, helper

from hwnas.arrays import Port
from hwnas.brief import Brief
from hwnas.errors import ModelError, first_line, unknown
from hwnas.files import plain_file, read_bytes
from hwnas.onnx.beside import take_in
from hwnas.onnx.infer import shape_inference
from hwnas.onnx.read import has_branches
from hwnas.onnx.refused import (
    check_branches,
    check_dtype,
    check_graph,
    check_names,
    check_numbers,
    check_opset,
    check_types,
    something_else,
)
from hwnas.onnx.wire import check_size

Shapes = Mapping[str, tuple[int, ...]]
"""{name of an input: its shape, the batch included}."""

MOST_BYTES = 2**31 - 1
"""Of a serialized model, which is one protobuf message."""

_IR_VERSIONS = (8, 10)
"""Written by tools of 2020 and of today; what every ONNX Runtime that hwnas takes reads, and the same graph in each."""


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
            flow that depends on the data, sequences, operators that no runtime has, weights elsewhere than beside the
            file or that are no numbers, more than 2 GB.
    """
    path = Path(path)
    if (size := plain_file(path, ModelError).stat().st_size) > MOST_BYTES:
        raise ModelError(f"{path} has {size / 1e9:.1f} GB; a model of more than 2 GB isn't taken")
    return model_of(read_bytes(path, ModelError), str(path), shapes, folder=path.parent)


def model_of(data: bytes, name: str, shapes: Shapes | None = None, *, folder: Path | None = None) -> OnnxModel:
    """A model from what its file holds; ``folder`` is where its weights may lie beside it. Raises as `read_model`."""
    if kind := something_else(data):
        raise ModelError(f"{name} is {kind}, not an ONNX model; export the network to ONNX first")
    check_size(data, name)
    with shape_inference() as add_shapes:
        proto = _checked(data, name, shapes or {}, folder)
        branches = has_branches(proto)
        add_shapes(proto, name)
    if branches:
        check_branches(proto, name)
        _tidy(proto)
        check_graph(proto, name)
        check_numbers(proto, name)
    for value in proto.graph.output:
        check_dtype(value, name)
    inputs, outputs = (tuple(map(port_of, values)) for values in (proto.graph.input, proto.graph.output))
    return OnnxModel(name, proto.SerializeToString(), inputs, outputs)


def _checked(data: bytes, name: str, shapes: Shapes, folder: Path | None) -> ModelProto:
    try:
        proto = onnx.load_from_string(data)
    except Exception as error:  # protobuf's exceptions share no public base
        raise ModelError(f"{name} is not an ONNX model: {first_line(error)}") from None
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{name} is not an ONNX model, or one without nodes")
    check_names(proto, name)
    check_opset(proto, name)
    check_types(proto, name)
    take_in(proto, name, folder, MOST_BYTES - len(data))
    _tidy(proto)
    check_graph(proto, name)
    check_numbers(proto, name)
    _fix_shapes(proto, shapes, name)
    return proto


def _tidy(proto: ModelProto) -> None:
    """What files say in several ways is said in one: a weight is an initializer, and neither input nor node."""
    graph = proto.graph
    proto.ir_version = min(max(proto.ir_version, _IR_VERSIONS[0]), _IR_VERSIONS[1])
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
            graph.initializer.append(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
        else:
            nodes.append(node)
    weights = {weight.name for weight in graph.initializer}
    entries = [entry for entry in graph.input if entry.name not in weights]
    for kept, field_ in ((nodes, graph.node), (entries, graph.input)):
        if len(kept) != len(field_):
            del field_[:]
            field_.extend(kept)
    said = {each.domain for each in proto.opset_import}
    proto.opset_import.extend(helper.make_opsetid(domain, 1) for domain in {n.domain for n in nodes} - said - {""})


def _fix_shapes(proto: ModelProto, shapes: Shapes, name: str) -> None:
    entries = {entry.name: entry for entry in proto.graph.input}
    for given in shapes:
        if given not in entries:
            raise ModelError(f"{name}: {unknown('input', given, list(entries))}")
    for entry in proto.graph.input:
        dims = entry.type.tensor_type.shape.dim
        if (wanted := shapes.get(entry.name)) is not None:
            if not entry.type.tensor_type.HasField("shape"):
                dims.extend(TensorShapeProto.Dimension() for _ in wanted)
            said = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
            fits = len(wanted) == len(dims) and all(old in (None, new) for old, new in zip(said, wanted, strict=False))
            if not fits or not all(0 < size < 2**31 for size in wanted):
                raise ModelError(f"{name}: its input {entry.name} is {_shape(entry)}, not {'x'.join(map(str, wanted))}")
            for dim, size in zip(dims, wanted, strict=True):
                dim.dim_value = size
        elif dims and (dims[0].dim_value < 0 or not dims[0].HasField("dim_value")):
            dims[0].dim_value = 1
        if any(dim.HasField("dim_value") and not dim.dim_value for dim in dims):
            raise ModelError(f"{name}: its input {entry.name} is {_shape(entry)}, which holds nothing")
        if any(dim.dim_value < 1 for dim in dims) or not entry.type.tensor_type.HasField("shape"):
            like = "x".join(str(dim.dim_value if dim.dim_value > 0 else 224) for dim in dims) or "1x3x224x224"
            raise ModelError(
                f"{name}: its input {entry.name} is {_shape(entry)}; fix the sizes, as --shape {entry.name}={like}"
            )
    del proto.graph.value_info[:]
    for output in proto.graph.output:  # what was inferred for other sizes no longer holds
        output.type.tensor_type.ClearField("shape")


def _shape(entry: ValueInfoProto) -> str:
    dims = entry.type.tensor_type.shape.dim
    sizes = (dim.dim_param or (str(dim.dim_value) if dim.HasField("dim_value") else "?") for dim in dims)
    return "x".join(sizes) or "of no shape"


def port_of(value: ValueInfoProto) -> Port:
    """What a graph says of one of its inputs or outputs; 0 is a size that it leaves open."""
    kind = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return Port(value.name, dtype, tuple(dim.dim_value for dim in kind.shape.dim))
