"""Somebody's network counted: multiply-adds and parameters, node by node, under the model's own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, cast, get_args

from onnx import GraphProto, TensorProto, helper

from hwnas.brief import Brief
from hwnas.graph.kernel import DType, Value
from hwnas.graph.kernel_cost import UncountedError, is_free, madds
from hwnas.onnx.kernels import Part, launches, values_of
from hwnas.onnx.model import OnnxModel


class NodeCount(NamedTuple):
    """Of one node.

    Attributes:
        name: its own, or that of what it gives.
        op: its operator.
        madds: multiply-adds; None where they can't be counted.
        params: that no node before it has.
        uncounted: why they can't.
    """

    name: str
    op: str
    madds: int | None
    params: int
    uncounted: str = ""


@dataclass(frozen=True, repr=False)
class ModelCount(Brief):
    """Of a network for its inputs' shapes, the batch included.

    Attributes:
        model: what was counted.
        madds: multiply-adds of all nodes that can be counted; a lower bound where there are others.
        params: parameters. Means and variances of BNs aren't, nor are numbers in formulas, shapes, and scales of
            quantized values.
        model_mb: its weights, in the precision that they are stored in.
        peak_activation_mb: most activations at one time, by the convention of
            :func:`hwnas.graph.count.peak_elements`; None where a shape depends on the data.
        nodes: in the model's order.
    """

    model: OnnxModel
    madds: int
    params: int
    model_mb: float
    peak_activation_mb: float | None
    nodes: tuple[NodeCount, ...]

    @property
    def uncounted(self) -> tuple[NodeCount, ...]:
        """Nodes that no formula is known for, or whose shapes depend on the data."""
        return tuple(node for node in self.nodes if node.madds is None)


def count_model(model: OnnxModel) -> ModelCount:
    """Count a model.

    Raises:
        ModelError: shapes can't be inferred, and ONNX Runtime can't run it to see them.
    """
    graph = model.proto.graph
    values = inferred_values(graph)
    if any(name and name not in values for node in graph.node for name in node.output):
        values = values_of(model.proto) | values
    parts = [Part(node.name or node.output[0], [node]) for node in graph.node]
    found = []
    for launch, node, params in zip(launches(model.proto, parts, values), graph.node, _params(graph), strict=True):
        known, why = None, launch.uncut
        if is_free(node.domain, node.op_type):
            known, why = 0, ""
        elif launch.kernel:
            try:
                known = madds(launch.kernel)
            except UncountedError as problem:
                why = str(problem)
        found.append(NodeCount(launch.name, node.op_type, known, params, why))
    return ModelCount(
        model=model,
        madds=sum(node.madds or 0 for node in found),
        params=sum(node.params for node in found),
        model_mb=sum(_bytes(weight) for weight in graph.initializer) / 1e6,
        peak_activation_mb=_peak_mb(graph, values),
        nodes=tuple(found),
    )


def inferred_values(graph: GraphProto) -> dict[str, Value]:
    """What the graph itself says of its values: those whose sizes are all known and whose dtype hwnas knows."""
    found: dict[str, Value] = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        dims = value.type.tensor_type.shape.dim
        dtype = _dtype(value.type.tensor_type.elem_type)
        if dtype and value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = Value(dtype=dtype, shape=tuple(dim.dim_value for dim in dims))
    for weight in graph.initializer:
        if dtype := _dtype(weight.data_type):
            found[weight.name] = Value(dtype=dtype, shape=tuple(weight.dims), constant=True)
    return found


def _dtype(elem_type: int) -> DType | None:
    name = helper.tensor_dtype_to_np_dtype(elem_type).name if elem_type else ""
    return cast(DType, name) if name in get_args(DType) else None


_NO_PARAMETERS = {
    "BatchNormalization": (3, 4), "Clip": (1, 2), "Pad": (2,), "Pow": (1,), "Resize": (1, 2), "Upsample": (1,),
    "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2), "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QLinearConv": (1, 2, 4, 5, 6, 7), "QGemm": (1, 2, 4, 5, 7, 8),
}  # fmt: skip
"""{operator: places of constants that nobody trained, or that belong to numbers stored in few bits}."""

_QUANTIZED = {
    "DequantizeLinear": (0,), "QLinearConv": (3, 8), "QLinearMatMul": (3,), "QGemm": (3, 6), "ConvInteger": (1,),
    "MatMulInteger": (1,), "MatMulIntegerToFloat": (1,), "DynamicQuantizeMatMul": (1,), "DynamicQuantizeLSTM": (1, 2),
}  # fmt: skip
"""{operator: places of weights stored as integers}; integers elsewhere are shapes, axes and indices."""

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Sqrt", "Min", "Max", "Where", "Expand", "Equal", "Greater", "Less")
"""Of these a constant of one number is part of a formula, as of GELU's."""

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def _params(graph: GraphProto) -> list[int]:
    """Of each node, the parameters that no node before it reads."""
    weights = {weight.name: weight for weight in graph.initializer if weight.dims}
    found = []
    for node in graph.node:
        count = 0
        for place, name in enumerate(node.input):
            if name not in weights or place in _NO_PARAMETERS.get(node.op_type, ()):
                continue
            weight = weights.pop(name)
            trained = weight.data_type in _FLOATS or place in _QUANTIZED.get(node.op_type, ())
            if trained and not (prod(weight.dims) == 1 and node.op_type in _ARITHMETIC):
                count += prod(weight.dims)
        found.append(count)
    return found


def _bytes(weight: TensorProto) -> int:
    return int(prod(weight.dims)) * int(helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize)


_IN_PLACE = {
    "Add", "BatchNormalization", "Clip", "Div", "Dropout", "Elu", "Erf", "Flatten", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Mish", "Mul", "PRelu", "Relu", "Reshape", "Selu", "Sigmoid", "Softplus", "Squeeze", "Sub",
    "Swish", "Tanh", "Unsqueeze",
}  # fmt: skip


def _peak_mb(graph: GraphProto, values: Mapping[str, Value]) -> float | None:
    """As the nodes stand, each tensor freed after its last use, what goes element by element computed in place."""
    kept = {output.name for output in graph.output}
    last_use = {name: place for place, node in enumerate(graph.node) for name in node.input}
    alive = {entry.name: values[entry.name].bytes for entry in graph.input}
    peak = sum(alive.values())
    for place, node in enumerate(graph.node):
        given = [name for name in node.output if name]
        if any(name not in values for name in given):
            return None
        ending = [n for n in dict.fromkeys(node.input) if last_use.get(n) == place and n in alive and n not in kept]
        size = sum(values[name].bytes for name in given)
        if node.op_type in _IN_PLACE:
            reused = next((name for name in ending if alive[name] == size), None)
            alive.pop(reused or "", None)
        alive |= {name: values[name].bytes for name in given if name in last_use or name in kept}
        peak = max(peak, sum(alive.values()))
        for name in ending:
            alive.pop(name, None)
    return peak / 1e6
