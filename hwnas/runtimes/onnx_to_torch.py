"""ONNX graph -> PyTorch module: of hwnas' own networks and of anyone's."""

from __future__ import annotations

import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import fx, nn

from hwnas.errors import ModelError
from hwnas.onnx.read import entries_of
from hwnas.runtimes.torch_operators import along_axes, elementwise, layers, resize, shapes
from hwnas.runtimes.torch_operators.node import Calls, Convert, Node, Value, known

_OPERATORS: dict[str, Convert] = {
    **elementwise.OPERATORS,
    **layers.OPERATORS,
    **along_axes.OPERATORS,
    **shapes.OPERATORS,
    **resize.OPERATORS,
}
_OWN_DOMAINS = ("", "ai.onnx")
_OPEN = (2, 3)  # two sizes of what a model leaves open


def onnx_to_torch(proto: ModelProto, floats: torch.dtype = torch.float32) -> nn.Module:
    """A module with the graph's weights and Python code of its own: the model's inputs -> a tuple of its outputs.

    What is known beforehand is computed here, shapes among it. ``floats`` is what float32 is computed in.

    Raises:
        ModelError: a node isn't one of the known operators, or can't be had from PyTorch as it is; it is named.
    """
    root = nn.Module()
    calls = Calls(root, floats)
    values: dict[str, Value] = {}
    for index, entry in enumerate(entries_of(proto)):
        kind = entry.type.tensor_type
        few, many = (tuple(dim.dim_value or size for dim in kind.shape.dim) for size in _OPEN)
        values[entry.name] = calls.entry(f"input_{index}", elementwise.torch_dtype(kind.elem_type), few, many)
    for weight in proto.graph.initializer:
        values[weight.name] = known(torch.from_numpy(numpy_helper.to_array(weight).copy()))
    opset = next((each.version for each in proto.opset_import if each.domain in _OWN_DOMAINS), 1)
    for index, node in enumerate(proto.graph.node):
        found = _converted(node, index, values, opset, calls)
        values.update(zip(node.output, found, strict=False))  # of those left out, nobody reads one
    results = [output.name for output in proto.graph.output]
    if lost := [name for name in results if name not in values]:
        raise ModelError(f"nothing gives the model's output {lost[0]!r}")
    calls.graph.output(tuple(calls.node(values[name]) for name in results))
    return fx.GraphModule(root, calls.graph).eval()


def _converted(proto: NodeProto, index: int, values: dict[str, Value], opset: int, calls: Calls) -> tuple[Value, ...]:
    told = f"node {proto.name or index} ({proto.op_type})"
    convert = _OPERATORS.get(proto.op_type) if proto.domain in _OWN_DOMAINS else None
    if convert is None:
        raise ModelError(
            f"runtime torch has no operator {proto.domain}{'.' * bool(proto.domain)}{proto.op_type}: {told}"
        )
    if lost := [name for name in proto.input if name and name not in values]:
        raise ModelError(f"{told} reads {lost[0]!r}, which nothing before it gives")
    attributes = {each.name: helper.get_attribute_value(each) for each in proto.attribute}
    inputs = [values[name] if name else None for name in proto.input]
    node = Node(told, attributes, inputs, len(proto.output), opset, calls)
    found = convert(node)
    if node.unread:
        raise node.refuse(f"it has {', '.join(sorted(node.unread))}")
    return found if isinstance(found, tuple) else (found,)
