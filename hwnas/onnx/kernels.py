"""ONNX nodes -> `Kernel`."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.errors import ModelError
from hwnas.graph.kernel import ABSENT, Attribute, DType, Kernel, KernelNode, Launch, Value
from hwnas.onnx.bare import with_stand_ins
from hwnas.onnx.model import port_of
from hwnas.onnx.observe import node_by_node
from hwnas.onnx.read import entries_of
from hwnas.onnx.stand_in import stand_in

_MOST_HELD = 64
_DECIDING_FLOATS = {"Pow": (1,), "Resize": (1, 2), "Upsample": (1,)}
"""{operator: inputs whose numbers decide its work}; those of integers always do."""
_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


class Part(NamedTuple):
    """What is launched at once.

    Attributes:
        name: to tell it by.
        nodes: in topological order.
        edges: what is otherwise with values that go in or out here than in the model, such as their layout.
    """

    name: str
    nodes: Sequence[NodeProto]
    edges: Mapping[str, Value] = {}


class UncutError(Exception):
    """Why nodes can't be cut out."""


def launches(proto: ModelProto, parts: Iterable[Part], values: Mapping[str, Value]) -> tuple[Launch, ...]:
    """The kernels of a model's parts, in order; ``values`` are those of :func:`values_of`."""
    opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)
    readers, known = _readers(proto.graph), dict(values)
    found = []
    for part in parts:
        try:
            found.append(Launch(part.name, _cut(part.nodes, ChainMap(dict(part.edges), known), readers, opset)))
        except UncutError as why:
            found.append(Launch(part.name, None, str(why)))
    return tuple(found)


def _readers(graph: GraphProto) -> dict[str, set[int]]:
    """name of a value -> ids of the nodes that read it; 0 stands for whoever reads the graph's outputs."""
    found: dict[str, set[int]] = {output.name: {0} for output in graph.output}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, set()).add(id(node))
    return found


def _cut(
    nodes: Sequence[NodeProto], values: Mapping[str, Value], readers: Mapping[str, set[int]], opset: int
) -> Kernel:
    numbers: dict[str, int] = {}
    kept: list[Value] = []

    def number(name: str, node: NodeProto, place: int | None = None) -> int:
        if not name:
            return ABSENT
        if name not in values:
            raise UncutError(f"nothing is known of its value {name}")
        value = values[name]
        decides = value.dtype == "int64" or place in _DECIDING_FLOATS.get(node.op_type, ())
        if len(nodes) > 1 and node.op_type not in _QUANTIZING:  # a hard-swish is known, and fused, by its numbers
            decides |= value.elements == 1
        if value.holds is not None and not (decides and place is not None):
            value = value.model_copy(update={"holds": None})
        if name not in numbers:
            numbers[name] = len(kept)
            kept.append(value)
        return numbers[name]

    written = tuple(
        KernelNode(
            op=node.op_type,
            domain="" if node.domain == "ai.onnx" else node.domain,
            attributes=tuple(sorted((each.name, _attribute(each)) for each in node.attribute)),
            inputs=tuple(number(name, node, place) for place, name in enumerate(node.input)),
            outputs=tuple(number(name, node) for name in node.output),
        )
        for node in nodes
    )
    inside = {id(node) for node in nodes}
    given = [name for node in nodes for name in node.output if name and readers.get(name, set()) - inside]
    return Kernel(opset=opset, nodes=written, values=tuple(kept), outputs=tuple(numbers[name] for name in given))


def _attribute(given: AttributeProto) -> Attribute:
    value: Any = helper.get_attribute_value(given)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if not np.isfinite(value if isinstance(value, float) or given.type == AttributeProto.FLOATS else 0).all():
        raise UncutError(f"its attribute {given.name} isn't a finite number")
    if isinstance(value, int | float):
        return value
    if given.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(value)
    if given.type == AttributeProto.STRINGS:
        return tuple(each.decode(errors="replace") for each in value)
    raise UncutError(f"its attribute {given.name} holds a {AttributeProto.AttributeType.Name(given.type).lower()}")


def values_of(proto: ModelProto) -> dict[str, Value]:
    """What is known of all values of a model by running it once, node by node, as stand-ins for its inputs.

    Raises:
        ModelError: ONNX Runtime can't run it.
    """
    graph = proto.graph
    inputs = [port_of(entry) for entry in entries_of(proto)]
    if loose := [port.name for port in inputs if not all(port.shape)]:
        raise ModelError(f"the sizes of the model's input {loose[0]} aren't fixed; kernels have shapes")
    (values,) = node_by_node(with_stand_ins(proto), [{port.name: stand_in(port) for port in inputs}])
    found = {port.name: Value(dtype=port.dtype, shape=port.shape) for port in inputs}  # type: ignore[arg-type]
    found |= {name: _value(array) for name, array in values.items() if array.dtype.name in get_args(DType)}
    constants = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    known = {name: tensor for name, tensor in constants.items() if _dtype(tensor) in get_args(DType)}
    return found | {name: _constant(tensor) for name, tensor in known.items()}


def _dtype(tensor: TensorProto) -> str:
    return str(helper.tensor_dtype_to_np_dtype(tensor.data_type).name)


def _value(array: npt.NDArray[Any]) -> Value:
    return Value(dtype=array.dtype.name, shape=array.shape)  # type: ignore[arg-type]


def _constant(tensor: TensorProto) -> Value:
    small = prod(tensor.dims) <= _MOST_HELD and tensor.data_type in (TensorProto.INT64, TensorProto.FLOAT)
    numbers = numpy_helper.to_array(tensor).reshape(-1) if small else None
    holds = tuple(numbers.tolist()) if numbers is not None and np.isfinite(numbers).all() else None
    return Value(dtype=_dtype(tensor), shape=tuple(tensor.dims), constant=True, holds=holds)  # type: ignore[arg-type]
