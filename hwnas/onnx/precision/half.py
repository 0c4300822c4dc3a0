"""fp32 ONNX -> the same graph in fp16, input and output still fp32: for runtimes whose precision is the graph's.

fp16 ends at 65,504, and below 6e-5 it loses digits. Where activations or weights are beyond these, nodes can stay in
fp32 between two casts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.arrays import Array
from hwnas.errors import ModelError
from hwnas.onnx.precision.ranges import watched
from hwnas.onnx.read import endless, floats, parsed

LIMIT = 65504 / 8
"""Largest magnitude trusted to fp16: kernels compute x·relu6(x + 3) before they divide by 6, and images differ."""

LEAST = 2**-14
"""The least magnitude that fp16 has with all its digits; 2^-24 is the least that it has at all."""

_LOST = 0.1  # of a weight's magnitude, by rounding it to fp16
_MANY = 0.1  # of a layer's weights

_KINDS = {"half": TensorProto.FLOAT16, "float": TensorProto.FLOAT}
_FLOAT_ONLY = (
    "Cast", "ConstantOfShape", "CumSum", "DequantizeLinear", "DynamicQuantizeLinear", "EyeLike",
    "NonMaxSuppression", "QuantizeLinear", "Range", "RoiAlign", "Upsample",
)  # fmt: skip
"""Operators of which ONNX, or the runtimes, know no fp16, or which say themselves what they give."""
_FLOAT_INPUTS = {"Resize": (1, 2)}
"""{operator: its inputs that are fp32 where the others are fp16}."""


def beyond_half(model: bytes, feeds: Sequence[Sequence[Array]]) -> list[str]:
    """Names of nodes that read or give values beyond fp16 on ``feeds``, or whose weights are.

    Each of ``feeds`` is what one inference takes: an array for each input.

    Beyond are tensors with a value over :data:`LIMIT`, and those with none over :data:`LEAST`, but for biases.

    Raises:
        ModelError: not an fp32 ONNX model that runs, or it gives NaN or infinity in fp32 already.
    """
    proto = parsed(model)
    masks = endless(proto)
    largest = _largest(proto, feeds, masks)
    for weight in proto.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:  # a shape, which stays as it is
            continue
        if weight.name not in masks:  # fp16 has infinity as well
            largest[weight.name] = float(np.abs(numpy_helper.to_array(weight)).max(initial=0))
    for name, value in largest.items():
        if not np.isfinite(value):
            raise ModelError(f"the network isn't finite in fp32: {name} reaches {value}")
    biases = {weight.name for weight in proto.graph.initializer if len(weight.dims) < 2}
    wide = {n for n, value in largest.items() if value > LIMIT or (0 < value < LEAST and n not in biases)}
    return [node.name for node in proto.graph.node if not wide.isdisjoint([*node.input, *node.output])]


def _largest(proto: ModelProto, feeds: Sequence[Sequence[Array]], masks: Collection[str]) -> dict[str, float]:
    """Largest magnitude of every float among the inputs and the nodes' results."""
    known = floats(proto)
    every = [*(entry.name for entry in proto.graph.input), *(name for node in proto.graph.node for name in node.output)]
    names = [name for name in every if name in known and name not in masks]
    run = watched(proto, names)
    largest = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, values in run(feed).items():
            # NaN wins a numpy maximum, and loses Python's
            largest[name] = float(np.maximum(largest[name], np.abs(values).max(initial=0)))
    return largest


def lost_weights(model: bytes, half: bytes) -> dict[str, float]:
    """{layer: share of its weights that became zero or nearly so in ``half``, made of ``model``}, where it is much."""
    before, after = (parsed(each).graph for each in (model, half))
    halves = {weight.name: numpy_helper.to_array(weight).astype(np.float64) for weight in after.initializer}
    found = {}
    for weight in before.initializer:
        rounded = halves.get(_half_of(weight.name))
        if rounded is None or len(weight.dims) < 2:
            continue
        exact = numpy_helper.to_array(weight).astype(np.float64)
        lost = np.abs(rounded - exact) > _LOST * np.abs(exact)
        if (share := float(lost.sum() / max(np.count_nonzero(exact), 1))) > _MANY:
            found[weight.name.removesuffix(".weight")] = share
    return found


def _half_of(weight: str) -> str:
    return f"{weight}.half"


def to_half(model: bytes, keep: Collection[str] = ()) -> bytes:
    """Weights and all arithmetic on floats in fp16, between a Cast of each input and one of each output.

    Nodes named in ``keep`` stay in fp32, casts around them; see :func:`beyond_half`.

    Raises:
        ModelError: not an fp32 ONNX model, or a weight of a node that isn't kept is beyond fp16's range.
    """
    proto = parsed(model)
    halving = _Halving(proto, frozenset(keep))
    graph = proto.graph
    for node in list(graph.node):
        halving.node(node)
    for output in graph.output:
        halving.finish(output.name)
    del graph.node[:], graph.initializer[:], graph.value_info[:]  # of types that aren't true any more
    graph.node.extend(halving.nodes)
    graph.initializer.extend(halving.weights.values())
    return bytes(proto.SerializeToString(deterministic=True))


class _Halving:
    """Writes the graph again, node by node, with a cast wherever a value is wanted in the other kind."""

    def __init__(self, proto: ModelProto, keep: frozenset[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, TensorProto] = {}
        self._keep = keep
        self._floats = floats(proto)
        self._given = {weight.name: weight for weight in proto.graph.initializer}
        # the name under which a value is at hand in a kind
        entries = [entry.name for entry in proto.graph.input if entry.name in self._floats]
        self._names: dict[tuple[str, str], str] = {(name, "float"): name for name in entries}

    def node(self, node: NodeProto) -> None:
        stays = node.name in self._keep or node.op_type in _FLOAT_ONLY or node.domain not in ("", "ai.onnx")
        for index, name in enumerate(node.input):
            kind, other = (
                ("float", "half") if stays or index in _FLOAT_INPUTS.get(node.op_type, ()) else ("half", "float")
            )
            if name in self._given:
                node.input[index] = self._weight(name, kind)
            elif name in self._floats:
                node.input[index] = self._value(name, kind, other)
        self.nodes.append(node)
        self._names |= {(name, "float" if stays else "half"): name for name in node.output if name in self._floats}

    def finish(self, result: str) -> None:
        """Let an output of the graph be fp32 where it was."""
        if result not in self._floats or (result, "float") in self._names:
            return
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [f"{result}.half" if name == result else name for name in names]
        self._cast(f"{result}.half", result, "float")

    def _value(self, name: str, kind: str, other: str) -> str:
        if (name, kind) not in self._names:
            self._names[name, kind] = self._cast(self._names[name, other], f"{name}.{kind}", kind)
        return self._names[name, kind]

    def _cast(self, source: str, result: str, kind: str) -> str:
        self.nodes.append(helper.make_node("Cast", [source], [result], f"{source}.to_{kind}", to=_KINDS[kind]))
        return result

    def _weight(self, name: str, kind: str) -> str:
        weight = self._given[name]
        if kind == "float" or weight.data_type != TensorProto.FLOAT:
            self.weights[name] = weight
            return name
        with np.errstate(over="ignore"):
            halves = numpy_helper.to_array(weight).astype(np.float16)
        if (np.isinf(halves) > np.isinf(numpy_helper.to_array(weight))).any():
            raise ModelError(f"weight {name} doesn't fit fp16; use fp32 or bf16")
        renamed = _half_of(name)
        self.weights[renamed] = numpy_helper.from_array(halves, renamed)
        return renamed
