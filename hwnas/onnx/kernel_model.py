"""`Kernel` -> the ONNX model that runs it alone."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from hwnas.arrays import Port
from hwnas.graph.kernel import ABSENT, Attribute, Kernel, Value
from hwnas.onnx.stand_in import repeating


def kernel_model(kernel: Kernel, copies: int = 1) -> tuple[bytes, tuple[Port, ...]]:
    """A kernel alone as an ONNX model with weights to stand in for its own, and what it takes.

    Latency doesn't depend on weights' values; those here repeat, so that a kit of hundreds of them packs well. An input
    whose channels lie last comes so and is transposed, which is a change of names to a runtime that wants it so. Of an
    output whose channels lie last the first element is given: all of it would first be laid out anew.

    Several copies share the inputs, and each has weights of its own. Of an output of theirs the model gives the shape:
    so they write into the same memory one after the other, as the nodes of a network do. Only a runtime that takes the
    graph as it is (see :meth:`hwnas.runtimes.base.Runtime.load`) computes them.
    """
    written = _Written(kernel)
    for number in range(copies):
        written.add("" if copies == 1 else f"_{number}", shapes_only=copies > 1)
    inputs = tuple(written.ports.values())
    graph = helper.make_graph(
        written.nodes, "kernel", [_info(*port) for port in inputs], written.outputs, written.constants
    )
    domains = {"": kernel.opset} | {node.domain: 1 for node in kernel.nodes if node.domain}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*each) for each in domains.items()])
    model.ir_version = _IR_VERSION
    return model.SerializeToString(deterministic=True), inputs


class _Written:
    """Parts of the ONNX graph of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ports = {index: _port(f"v{index}", kernel.values[index]) for index in kernel.inputs}
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.outputs: list[ValueInfoProto] = []

    def add(self, suffix: str, *, shapes_only: bool) -> None:
        """One copy; its values' names end with ``suffix``."""
        kernel = self.kernel
        names = [f"v{index}{suffix}" for index in range(len(kernel.values))]
        for index, value in enumerate(kernel.values):
            if value.constant:
                self.constants.append(numpy_helper.from_array(_weights(value), names[index]))
        for i, port in self.ports.items():
            readers = {node.op for node in kernel.nodes if i in node.inputs}
            if kernel.values[i].channels_last and readers == {"DequantizeLinear"}:
                continue
            if entered := _entered(port, names[i], kernel.values[i]):
                self.nodes += entered
            else:
                names[i] = port.name
        for node in kernel.nodes:
            takes, gives = ([names[i] if i != ABSENT else "" for i in part] for part in (node.inputs, node.outputs))
            made = helper.make_node(node.op, takes, gives, domain=node.domain)
            made.attribute.extend(helper.make_attribute(name, _plain(value)) for name, value in node.attributes)
            self.nodes.append(made)
            entry = self.ports.get(node.inputs[0]) if node.op == "DequantizeLinear" else None
            if entry and kernel.values[node.inputs[0]].channels_last:  # behind it, or OpenVINO doesn't compute in int8
                made.input[0], made.output[0] = entry.name, f"{gives[0]}_last"
                self.nodes.append(_channels_second(made.output[0], gives[0], len(entry.shape)))
        for i in kernel.outputs:
            if shapes_only:
                shape = f"{names[i]}_shape"
                self.nodes.append(helper.make_node("Shape", [names[i]], [shape]))
                self.outputs.append(_info(shape, "int64", (len(kernel.values[i].shape),)))
            else:
                self._give(names[i], kernel.values[i])

    def _give(self, name: str, value: Value) -> None:
        """Make a value an output."""
        kinds = {node.op for node in self.kernel.nodes}
        dtype, shape = value.dtype, value.shape
        if value.channels_last:
            node, bounds = _first(name, len(shape), self.kernel.opset)
            self.nodes.append(node)
            self.constants += bounds
            name, shape = node.output[0], (1,) * len(shape)
            if "DequantizeLinear" in kinds and "QuantizeLinear" not in kinds and dtype == "float32":
                # OpenVINO doesn't look for int8 where nothing is quantized
                self.constants.append(numpy_helper.from_array(np.ones((), np.float32), f"{name}_scale"))
                self.nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}_scale"], [f"{name}_quantized"]))
                name, dtype = f"{name}_quantized", "uint8"
        if value.stored:
            self.nodes.append(_cast(name, f"{name}_stored", value.stored))
            name, dtype = f"{name}_stored", value.stored
        self.outputs.append(_info(name, dtype, shape))


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


def _info(name: str, dtype: str, shape: tuple[int, ...]) -> ValueInfoProto:
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
