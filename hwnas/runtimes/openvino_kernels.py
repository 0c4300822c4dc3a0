"""The kernels of OpenVINO: each layer of its execution graph as the ONNX nodes that it computes.

Inside a network most layers find their images with channels last, and such an image is laid out anew when it enters or
leaves a model. Cut out plainly, the kernels of a MobileNet take 2 to 2.5 times as long as the whole. So a kernel takes
its images as it does inside. A convolution asks for them so, whoever gives them; another layer takes them as they come
from what stands in front of it, which therefore is the cheapest convolution there is, whose own latency is taken off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import ModelProto, NodeProto

from hwnas.graph.kernel import DType, Kernel, KernelNode, Launch, Value
from hwnas.onnx.kernels import Part, launches, values_of
from hwnas.onnx.numbered import numbered
from hwnas.onnx.optimize.tidy import fold_constants
from hwnas.onnx.read import parsed
from hwnas.runtimes.openvino_layers import Layer, layers_of
from hwnas.runtimes.openvino_matching import Matching

_ASKING = ("Convolution", "Deconvolution")
"""Layers that choose the layout of what they read."""
_DTYPES: dict[str, DType] = {"u8": "uint8", "i8": "int8"}


def kernels_of(model: bytes, execution_graph: Callable[[bytes], Any]) -> tuple[Launch, ...]:
    """The kernels of a model in the order in which OpenVINO runs them; ``execution_graph`` gives it a model's.

    Raises:
        ModelError: not an ONNX model that can be run.
    """
    proto = parsed(model)
    if folded := fold_constants(proto):  # as OpenVINO does before it runs anything
        proto = folded.model
    _compute_once(proto)
    values = values_of(proto)
    layers = layers_of(execution_graph(numbered(proto).SerializeToString()))
    matching = Matching(proto, layers, values)
    parts: dict[int, Part] = {}
    found: dict[int, Launch] = {}
    for group in matching.groups:
        part, why = matching.part(group)
        if why:
            found[group.layers[0]] = Launch(part.name, None, why)
        else:
            parts[group.layers[0]] = part
    for index, launch in zip(parts, launches(proto, parts.values(), values), strict=True):
        found[index] = launch if layers[index].type in _ASKING else _behind_a_neighbour(launch)
    for index, layer in enumerate(layers):
        if layer.moves:
            found[index] = _moving(layer, matching.name_of(layer.takes[0]))
    return (*(found[index] for index in sorted(found)), *matching.lost())


def _compute_once(proto: ModelProto) -> None:
    """Leave out nodes that compute what another computes: OpenVINO does."""
    outputs = {output.name for output in proto.graph.output}
    first: dict[tuple[object, ...], NodeProto] = {}
    instead: dict[str, str] = {}
    stay = []
    for node in proto.graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        attributes = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        same = first.setdefault((node.op_type, node.domain, *node.input, *attributes), node)
        if same is node or not node.input or not outputs.isdisjoint(node.output):
            stay.append(node)
        else:
            instead |= dict(zip(node.output, same.output, strict=False))
    del proto.graph.node[:]
    proto.graph.node.extend(stay)


def _behind_a_neighbour(launch: Launch) -> Launch:
    """With a convolution of 1×1 for each channel in front of every input whose channels lie last.

    What it gives is given out as well, so that OpenVINO doesn't fuse it into what follows.
    """
    kernel = launch.kernel
    if kernel is None:
        return launch
    values, nodes, gives = list(kernel.values), [], []
    for index in kernel.inputs:
        value = kernel.values[index]
        if value.channels_last and value.dtype == "float32":
            channels, rank = value.shape[1], len(value.shape)
            values += [value, Value(dtype="float32", shape=(channels, *(1,) * (rank - 1)), constant=True)]
            taken, weights = len(values) - 2, len(values) - 1
            group = (("group", channels),)
            nodes.append(KernelNode(op="Conv", attributes=group, inputs=(taken, weights), outputs=(index,)))
            gives.append(index)
    if not nodes:
        return launch
    behind = Kernel(
        opset=kernel.opset,
        nodes=(*nodes, *kernel.nodes),
        values=tuple(values),
        outputs=(*gives, *kernel.outputs),
        beside=len(nodes),
    )
    return launch._replace(kernel=behind)


def _moving(layer: Layer, name: str) -> Launch:
    """A value that is laid out anew: a Transpose does so, if its axes are taken in the order in which they lie."""
    (taken,), (given,) = layer.takes, layer.gives
    rank = len(taken.shape)
    last, second = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    order: tuple[int, ...] | None = None
    if taken.layout == given.layout:
        order = tuple(range(rank))
    elif taken.plain and given.channels_last:
        order = last
    elif taken.channels_last and given.plain:
        order = second
    floats = {taken.precision, given.precision} <= {"f32", "bf16"}
    dtype = "float32" if floats else _DTYPES.get(taken.precision)
    if order is None or dtype is None or not (floats or taken.precision == given.precision):
        change = f"from {taken.precision} {taken.layout} to {given.precision} {given.layout}"
        return Launch(f"{layer.type} of {name}", None, f"OpenVINO's own, {change}")
    shape = tuple(taken.shape[axis] for axis in last) if taken.channels_last else taken.shape
    values = tuple(
        Value(dtype=dtype, shape=shape, stored="bfloat16" if edge.precision == "bf16" else None)
        for edge, shape in ((taken, shape), (given, tuple(shape[axis] for axis in order)))
    )
    node = KernelNode(op="Transpose", attributes=(("perm", order),), inputs=(0,), outputs=(1,))
    return Launch(f"{layer.type} of {name}", Kernel(opset=13, nodes=(node,), values=values, outputs=(1,)))
