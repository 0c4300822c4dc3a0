"""ONNX graph -> PyTorch module, for the layers that ``hwnas.onnx.write`` writes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional

from hwnas.errors import ModelError
from hwnas.onnx.read import entries_of

_Attributes = dict[str, Any]


def onnx_to_torch(proto: ModelProto) -> nn.Module:
    """A module with the graph's weights and Python code of its own: the model's inputs -> a tuple of its outputs.

    Raises:
        ModelError: a node isn't one of the known layers, or has an attribute that they don't.
    """
    root = nn.Module()
    graph = fx.Graph()
    entries = [entry.name for entry in entries_of(proto)]
    values: dict[str, fx.Node] = {name: graph.placeholder(f"input_{index}") for index, name in enumerate(entries)}
    constants = {
        weight.name: torch.from_numpy(numpy_helper.to_array(weight).copy()) for weight in proto.graph.initializer
    }
    for index, node in enumerate(proto.graph.node):
        inputs: list[fx.Node | float | list[int]] = []
        for position, name in enumerate(node.input):
            if name in values:
                inputs.append(values[name])
            elif name in constants and node.op_type in _TAKE_NUMBERS:
                inputs.append(constants[name].tolist())
            elif name in constants:
                target = f"weight_{index}_{position}"
                root.register_buffer(target, constants[name])
                inputs.append(graph.get_attr(target))
            else:
                raise ModelError(f"node {node.name or index} reads {name!r}, which nothing before it gives")
        values[node.output[0]] = _layer(graph, node, inputs)
    results = [output.name for output in proto.graph.output]
    if lost := [name for name in results if name not in values]:
        raise ModelError(f"nothing gives the model's output {lost[0]!r}")
    graph.output(tuple(values[name] for name in results))
    return fx.GraphModule(root, graph).eval()


def _layer(graph: fx.Graph, node: NodeProto, inputs: list[Any]) -> fx.Node:
    write = _LAYERS.get(node.op_type)
    if write is None:
        raise ModelError(
            f"runtime torch has no layer {node.op_type} ({node.name}); it has {', '.join(sorted(_LAYERS))}"
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    function, args, kwargs = write(attributes, inputs)
    if attributes:  # each layer takes out those that it knows
        raise ModelError(f"runtime torch has no {node.op_type} with {', '.join(sorted(attributes))} ({node.name})")
    return graph.call_function(function, tuple(args), kwargs)


_Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]


def _conv(attributes: _Attributes, inputs: list[Any]) -> _Call:
    attributes.pop("kernel_shape", None)  # the weight has it
    pads = attributes.pop("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        raise ModelError(f"runtime torch pads both sides of an image alike, not by {pads}")
    kwargs = {
        "stride": tuple(attributes.pop("strides", (1, 1))),
        "padding": tuple(pads[:2]),
        "dilation": tuple(attributes.pop("dilations", (1, 1))),
        "groups": attributes.pop("group", 1),
    }
    return functional.conv2d, inputs, kwargs


def _gemm(attributes: _Attributes, inputs: list[Any]) -> _Call:
    for name, default, known in (("transB", 0, 1), ("transA", 0, 0), ("alpha", 1.0, 1.0), ("beta", 1.0, 1.0)):
        _require(attributes, name, default, known)
    return functional.linear, inputs, {}


def _hard_sigmoid(attributes: _Attributes, inputs: list[Any]) -> _Call:
    _require(attributes, "alpha", 0.2, 1 / 6)
    _require(attributes, "beta", 0.5, 0.5)
    return functional.hardsigmoid, inputs, {}


def _require(attributes: _Attributes, name: str, default: float, known: float) -> None:
    value = attributes.pop(name, default)
    if not math.isclose(value, known, rel_tol=1e-6):
        raise ModelError(f"runtime torch has {name}={known:.6g} only, not {value:.6g}")


def _flatten(attributes: _Attributes, inputs: list[Any]) -> _Call:
    return torch.flatten, [*inputs, attributes.pop("axis", 1)], {}


def _reshape(attributes: _Attributes, inputs: list[Any]) -> _Call:
    x, shape = inputs
    if shape[0] != 0 or min(shape[1:]) < 1:
        raise ModelError(f"runtime torch reshapes each image alike, not to {shape}")
    return torch.reshape, [x, (-1, *shape[1:])], {}


def _pad(attributes: _Attributes, inputs: list[Any]) -> _Call:
    x, pads = inputs
    first, last = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    around = [size for ends in zip(reversed(first), reversed(last), strict=True) for size in ends]  # from the last axis
    return functional.pad, [x, around], {}


def _layer_norm(attributes: _Attributes, inputs: list[Any]) -> _Call:
    _require(attributes, "axis", -1, -1)
    return _layer_normalised, inputs, {"epsilon": attributes.pop("epsilon", 1e-5)}


def _layer_normalised(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, epsilon: float) -> torch.Tensor:
    return functional.layer_norm(x, scale.shape, scale, shift, epsilon)


def _mean(attributes: _Attributes, inputs: list[Any]) -> _Call:
    return torch.mean, inputs, {"keepdim": bool(attributes.pop("keepdims", 1))}


def _gather(attributes: _Attributes, inputs: list[Any]) -> _Call:
    x, index = inputs
    return torch.select, [x, attributes.pop("axis", 0), index], {}


def _softmax(attributes: _Attributes, inputs: list[Any]) -> _Call:
    return torch.softmax, inputs, {"dim": attributes.pop("axis", -1)}


def _transpose(attributes: _Attributes, inputs: list[Any]) -> _Call:
    return torch.permute, [*inputs, tuple(attributes.pop("perm"))], {}


def _simple(function: Callable[..., Any], *more: Any) -> Callable[[_Attributes, list[Any]], _Call]:
    return lambda attributes, inputs: (function, [*inputs, *more], {})


_LAYERS: dict[str, Callable[[_Attributes, list[Any]], _Call]] = {
    "Add": _simple(operator.add),
    "Clip": _simple(functional.hardtanh),
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Gather": _gather,
    "Gelu": _simple(functional.gelu),
    "GlobalAveragePool": _simple(functional.adaptive_avg_pool2d, 1),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _simple(functional.hardswish),
    "LayerNormalization": _layer_norm,
    "MatMul": _simple(torch.matmul),
    "Mul": _simple(operator.mul),
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": _simple(functional.relu),
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Transpose": _transpose,
}
_TAKE_NUMBERS = ("Clip", "Gather", "Pad", "ReduceMean", "Reshape")
"""Their constants are arguments of PyTorch's functions; others are weights."""
