"""ONNX nodes -> `Kernel`, and a kernel -> the ONNX model that runs it alone."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.arrays import Port
from hwnas.errors import ModelError
from hwnas.graph.kernel import ABSENT, Attribute, DType, Kernel, KernelNode, Launch, Value
from hwnas.onnx.bare import with_stand_ins
from hwnas.onnx.model import port_of
from hwnas.onnx.observe import node_by_node
from hwnas.onnx.read import entries_of
from hwnas.onnx.stand_in import repeating, stand_in

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


def kernel_model(kernel: Kernel) -> tuple[bytes, tuple[Port, ...]]:
    """A kernel alone as an ONNX model with weights to stand in for its own, and what it takes.

    Latency doesn't depend on weights' values; those here repeat, so that a kit of hundreds of them packs well. An input
    whose channels lie last comes so and is transposed, which is a change of names to a runtime that wants it so. Of an
    output whose channels lie last the first element is given: all of it would first be laid out anew.
    """
    names = [f"v{index}" for index in range(len(kernel.values))]
    nodes: list[NodeProto] = []
    constants = [
        numpy_helper.from_array(_weights(value), names[index])
        for index, value in enumerate(kernel.values)
        if value.constant
    ]
    ports = {i: _port(names[i], kernel.values[i]) for i in kernel.inputs}
    for i, port in ports.items():
        readers = {node.op for node in kernel.nodes if i in node.inputs}
        if not (kernel.values[i].channels_last and readers == {"DequantizeLinear"}):
            nodes += _entered(port, names[i], kernel.values[i])
    for node in kernel.nodes:
        takes, gives = ([names[i] if i != ABSENT else "" for i in part] for part in (node.inputs, node.outputs))
        made = helper.make_node(node.op, takes, gives, domain=node.domain)
        made.attribute.extend(helper.make_attribute(name, _plain(value)) for name, value in node.attributes)
        nodes.append(made)
        entry = ports.get(node.inputs[0]) if node.op == "DequantizeLinear" else None
        if entry and kernel.values[node.inputs[0]].channels_last:  # behind it, or OpenVINO doesn't compute in int8
            made.input[0], made.output[0] = entry.name, f"{gives[0]}_last"
            nodes.append(_channels_second(made.output[0], gives[0], len(entry.shape)))
    kinds = {node.op for node in kernel.nodes}
    outputs = []
    for i in kernel.outputs:
        name, dtype, shape = names[i], kernel.values[i].dtype, kernel.values[i].shape
        if kernel.values[i].channels_last:
            node, bounds = _first(name, len(shape), kernel.opset)
            nodes.append(node)
            constants += bounds
            name, shape = node.output[0], (1,) * len(shape)
            if "DequantizeLinear" in kinds and "QuantizeLinear" not in kinds and dtype == "float32":
                # OpenVINO doesn't look for int8 where nothing is quantized
                constants.append(numpy_helper.from_array(np.ones((), np.float32), f"{name}_scale"))
                nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}_scale"], [f"{name}_quantized"]))
                name, dtype = f"{name}_quantized", "uint8"
        if stored := kernel.values[i].stored:
            nodes.append(_cast(name, f"{name}_stored", stored))
            name, dtype = f"{name}_stored", stored
        outputs.append(_info(name, dtype, shape))
    inputs = tuple(ports.values())
    graph = helper.make_graph(nodes, "kernel", [_info(*port) for port in inputs], outputs, constants)
    domains = {"": kernel.opset} | {node.domain: 1 for node in kernel.nodes if node.domain}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*each) for each in domains.items()])
    model.ir_version = _IR_VERSION
    return model.SerializeToString(deterministic=True), inputs


_IR_VERSION = 10
_SLICE_BY_INPUTS = 10
"""From this opset on a Slice reads where it begins and ends as inputs."""


def _port(name: str, value: Value) -> Port:
    """What is handed over for a value: it itself, or how it lies in memory."""
    if value.channels_last:
        shape = (*value.shape[:1], *value.shape[2:], *value.shape[1:2])
        return Port(f"{name}_handed", value.stored or value.dtype, shape)
    return Port(f"{name}_handed" if value.stored else name, value.stored or value.dtype, value.shape)


def _entered(port: Port, name: str, value: Value) -> list[NodeProto]:
    """What makes a value of what is handed over."""
    if not value.channels_last:
        return [_cast(port.name, name, value.dtype)] if value.stored else []
    if not value.stored:
        return [_channels_second(port.name, name, len(port.shape))]
    return [_cast(port.name, f"{name}_last", value.dtype), _channels_second(f"{name}_last", name, len(port.shape))]


def _cast(taken: str, given: str, dtype: str) -> NodeProto:
    return helper.make_node("Cast", [taken], [given], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _channels_second(taken: str, given: str, rank: int) -> NodeProto:
    return helper.make_node("Transpose", [taken], [given], perm=[0, rank - 1, *range(1, rank - 1)])


def _first(name: str, rank: int, opset: int) -> tuple[NodeProto, list[TensorProto]]:
    """A node that gives the first element of a value, and the constants that it reads."""
    starts, ends = [0] * rank, [1] * rank
    if opset < _SLICE_BY_INPUTS:
        return helper.make_node("Slice", [name], [f"{name}_first"], starts=starts, ends=ends), []
    constants = [numpy_helper.from_array(np.array(at), f"{name}_from{at[0]}") for at in (starts, ends)]
    return helper.make_node("Slice", [name, *(each.name for each in constants)], [f"{name}_first"]), constants


def _plain(value: Attribute) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _info(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _weights(value: Value) -> npt.NDArray[Any]:
    if value.holds is not None:
        return np.array(value.holds, value.dtype).reshape(value.shape)
    if len(value.shape) < 2:  # scales, biases and statistics of a norm are one, zero points zero
        return np.full(value.shape, value.dtype not in ("int8", "uint8"), value.dtype)
    inputs = max(prod(value.shape[1:]), 1)
    weights = repeating(value.shape)
    if np.issubdtype(np.dtype(value.dtype), np.integer):
        return (weights * 16 + (128 if value.dtype.startswith("u") else 0)).astype(value.dtype)
    return (weights * np.float32((2 / inputs) ** 0.5)).astype(value.dtype)
