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
        inputs: list[fx.Node | float] = []
        for position, name in enumerate(node.input):
            if name in values:
                inputs.append(values[name])
            elif name in constants and node.op_type == "Clip":
                inputs.append(constants[name].item())  # PyTorch takes its bounds as numbers
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


def _simple(function: Callable[..., Any], *more: Any) -> Callable[[_Attributes, list[Any]], _Call]:
    return lambda attributes, inputs: (function, [*inputs, *more], {})


_LAYERS: dict[str, Callable[[_Attributes, list[Any]], _Call]] = {
    "Add": _simple(operator.add),
    "Clip": _simple(functional.hardtanh),
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _simple(functional.adaptive_avg_pool2d, 1),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _simple(functional.hardswish),
    "Mul": _simple(operator.mul),
    "Relu": _simple(functional.relu),
}
