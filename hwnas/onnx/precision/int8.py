"""fp32 ONNX -> static int8 in Q/DQ form (QuantizeLinear/DequantizeLinear pairs), ranges from running the model.

Why not ``onnxruntime.quantization``: it quantizes weights channel by channel in Python, 27,000 calls and seconds for
one network of the size that profiling prepares by the dozen. Here it is whole tensors, and each runtime says where it
wants the pairs. Tests hold the scales against ``onnxruntime.quantization``.

The scheme is that of Jacob et al. (arXiv 1712.05877, §2): affine, 8-bit activations per tensor, 8-bit weights per
output channel, 32-bit biases at the product of both scales.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.arrays import Array
from hwnas.onnx.model import port_of
from hwnas.onnx.numbered import name_apart
from hwnas.onnx.precision.ranges import Ranges, calibrate
from hwnas.onnx.read import endless, floats, is_layer, parsed
from hwnas.onnx.stand_in import stand_in
from hwnas.records.target import RangeRule

_CLAMPS = ("Relu", "Clip")
_IN_A_GATE = ("Conv", "Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid")
_LEAST_SCALE = 1e-20  # what is finer is zero; the product of two such scales, a bias's, is still a float32

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Preset:
    """What a runtime needs to find in a graph to run it in int8.

    Attributes:
        ops: kinds of nodes that compute in int8; all others stay float.
        signed: activations are int8 around zero; else uint8 with a zero point.
        outputs: what these nodes give is quantized as well as what they take, for a runtime that has no
            int8 kernel with a float result.
        bias: biases are quantized, to int32.
    """

    ops: tuple[str, ...]
    signed: bool = False
    outputs: bool = False
    bias: bool = True


ONNXRUNTIME = Preset(("Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool"), outputs=True)
"""On CPUs. QLinearConv writes int8 only, so whatever stands between two of them is worth having in int8 as well.

x86 processors without VNNI add up products of these types in 16 bits, which can saturate: ONNX Runtime's documentation
of quantization, "when to use reduce-range". Latency isn't touched by it; check accuracy on the device.
"""

OPENVINO = Preset(("Conv", "Gemm", "MatMul"))
"""On CPUs. Activations and residuals are computed in the kernel of the convolution before them, on its float result."""

TENSORRT = Preset(("Conv", "Gemm", "MatMul"), signed=True, bias=False)
"""Its parser takes int8 around zero only, and no int32 bias."""

OF_PROVIDER = {"cpu": ONNXRUNTIME, "openvino": OPENVINO, "cuda": TENSORRT, "tensorrt": TENSORRT}
"""What ONNX Runtime's execution providers want, by the runtime's option."""


def random_feeds(model: bytes, count: int = 2) -> list[tuple[Array, ...]]:
    """What so many inferences of ``model`` take, batch 1 where it takes any: enough to calibrate for latency.

    Raises:
        ModelError: not an ONNX model, or one whose inputs leave a size open.
    """
    ports = [port_of(entry) for entry in parsed(model).graph.input]
    one = [port._replace(shape=(port.shape[0] or 1, *port.shape[1:]) if port.shape else ()) for port in ports]
    rng = np.random.default_rng(0)
    return [tuple(stand_in(port, rng) for port in one) for _ in range(count)]


def quantize(model: bytes, feeds: Sequence[Sequence[Array]], preset: Preset) -> bytes:
    """The fp32 model with Q/DQ pairs where ``preset`` wants them, every range as large as its values on ``feeds``.

    Raises:
        ModelError: as :func:`ranges_of` and :func:`quantize_by`.
    """
    return quantize_by(ranges_of(model, feeds, preset, "minmax"), model, preset)


def ranges_of(model: bytes, feeds: Sequence[Sequence[Array]], preset: Preset, rule: RangeRule) -> Ranges:
    """The range of every activation that ``preset`` may want in int8; each of ``feeds`` has an array for each input.

    Raises:
        ModelError: not an ONNX model, or one that ONNX Runtime can't run; no feeds, not of the model's size, or not
            finite.
    """
    proto = _named(model)
    names = _activations(proto, preset, _computing(proto, preset))
    return calibrate(proto, names, feeds, rule, signed=preset.signed)


def quantize_by(ranges: Ranges, model: bytes, preset: Preset, keep: Collection[str] = ()) -> bytes:
    """The model with Q/DQ pairs where ``preset`` wants them, but for the parts in ``keep``, which stay float.

    Raises:
        ModelError: not an ONNX model.
    """
    proto = _named(model)
    kept = {name for part in keep for name in nodes_of(proto, part)}
    computing = _computing(proto, preset) - kept
    chosen = {name: ranges[name] for name in _activations(proto, preset, computing)}
    return _Quantizer(proto, preset, computing, chosen).quantized()


def _named(model: bytes) -> ModelProto:
    """Parsed, each node with a name of its own: by these they are chosen, and what several share is told apart."""
    proto = parsed(model)
    name_apart(proto.graph.node)
    return proto


def nodes_of(proto: ModelProto, part: str) -> set[str]:
    """Names of a part's nodes, found by the graph's shape; empty where the network has no such part.

    Args:
        proto: the network, fp32.
        part: ``se``, squeeze-and-excitation with its pooling and its product; ``depthwise`` convolutions; the ``first``
            and the ``last`` layer with weights.
    """
    nodes = proto.graph.node
    if part == "se":
        givers = {node.output[0]: node for node in nodes}
        return {name for node in nodes if node.op_type == "Mul" for name in _gated(node, givers)}
    if part == "depthwise":
        return {node.name for node in nodes if any(a.name == "group" and a.i > 1 for a in node.attribute)}
    constants = {weight.name for weight in proto.graph.initializer}
    weighted = [node.name for node in nodes if is_layer(node, constants)]
    return set(weighted[:1] if part == "first" else weighted[-1:])


def _gated(product: NodeProto, givers: dict[str, NodeProto]) -> set[str]:
    """The product, its gate and the pooling that the gate starts with; empty where no factor is a gate."""
    for factor in product.input:
        gate = {product.name}
        node = givers.get(factor)
        while node is not None and node.op_type in _IN_A_GATE:
            gate.add(node.name)
            node = givers.get(node.input[0])
        if node is not None and node.op_type == "GlobalAveragePool":
            return gate | {node.name}
    return set()


def _computing(proto: ModelProto, preset: Preset) -> set[str]:
    """Names of the nodes that compute in int8.

    A transformer's are its layers alone. What attention multiplies, and what is added to tokens, stays float, since
    layer norm, softmax and GELU around it are.
    """
    weights = {weight.name: len(weight.dims) for weight in proto.graph.initializer}
    known, apart = floats(proto) - endless(proto), set(weights)
    computing = set()
    for node in proto.graph.node:
        if node.op_type in ("Add", "Mul") and not apart.isdisjoint(node.input):
            apart.add(node.output[0])
        elif node.op_type in preset.ops and _quantizable(node, weights):
            floating = known.issuperset(name for name in (*node.input, *node.output) if name)
            computing |= {node.name} if floating else set()
    return computing


def _quantizable(node: NodeProto, weights: Mapping[str, int]) -> bool:
    """Whether a node takes a value and, if it is a layer, is x·W + b, of constants that int8's scales are meant for."""
    if node.input[0] in weights:
        return False
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return True
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(each.name in plain and helper.get_attribute_value(each) != plain[each.name] for each in node.attribute):
        return False
    weight, *bias = (weights.get(name) for name in node.input[1:] if name)
    return weight is not None and (node.op_type == "Conv" or weight == 2) and bias in ([], [1])


def _activations(proto: ModelProto, preset: Preset, computing: set[str]) -> list[str]:
    """Tensors that get a Q/DQ pair, in order of the graph."""
    weights = {weight.name for weight in proto.graph.initializer}
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in proto.graph.node:
        for name in node.input:
            readers[name].append(node)
    names: dict[str, None] = {}  # a set with an order
    for node in proto.graph.node:
        if node.name not in computing:
            continue
        taken = node.input[:1] if is_layer(node, weights) else node.input
        names.update(dict.fromkeys(name for name in taken if name not in weights))
        if preset.outputs and node.op_type != "MatMul":
            result = node.output[0]
            # a clamp that only cuts off what the pair behind it can't hold anyway costs nothing there
            while len(readers[result]) == 1 and readers[result][0].op_type in _CLAMPS:
                result = readers[result][0].output[0]
            names[result] = None
    return list(names)


class _Quantizer:
    """Writes the graph again, node by node."""

    def __init__(self, proto: ModelProto, preset: Preset, computing: set[str], ranges: Ranges) -> None:
        self._proto = proto
        self._preset = preset
        self._computing = computing
        self._floats = {weight.name: weight for weight in proto.graph.initializer}
        self._scales = {name: self._scale(*ends) for name, ends in ranges.items()}
        self._results = {output.name for output in proto.graph.output}
        self._nodes: list[NodeProto] = []
        self._weights: dict[str, TensorProto] = {}

    def quantized(self) -> bytes:
        for entry in self._proto.graph.input:
            if entry.name in self._scales:
                self._pair(entry.name, entry.name)
        for node in self._proto.graph.node:
            self._node(node)
        graph = self._proto.graph
        read = {name for node in self._nodes for name in node.input} | self._results
        self._nodes = [node for node in self._nodes if not read.isdisjoint(node.output)]  # pairs that only floats read
        kept = {name for node in self._nodes for name in node.input}
        weights = [weight for name, weight in {**self._floats, **self._weights}.items() if name in kept]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(weights)
        return bytes(self._proto.SerializeToString(deterministic=True))

    def _node(self, node: NodeProto) -> None:
        layer = is_layer(node, self._floats)
        if layer and node.name in self._computing:
            node.input[1:] = self._parameters(node)
        elif layer and node.input[0] in self._scales and node.input[1] in self._floats:
            node.input[0] = self._apart(node)
        node.input[:] = [self._dequantized_name(name) if name in self._scales else name for name in node.input]
        self._nodes.append(node)
        for place, result in enumerate(node.output):
            if result in self._scales:
                if result in self._results:  # the graph's output keeps its name, so the node's result needs another
                    node.output[place] = f"{result}.float"
                self._pair(node.output[place], result)

    def _scale(self, low: float, high: float) -> tuple[np.float32, int]:
        """Scale and zero point of an activation."""
        if self._preset.signed:
            scale = max(-low, high) / 127
            return np.float32(scale if scale > _LEAST_SCALE else 1.0), 0
        scale = (high - low) / 255
        if scale <= _LEAST_SCALE:
            return np.float32(1.0), 0
        return np.float32(scale), round(-low / scale)

    def _pair(self, source: str, name: str) -> None:
        """Quantize ``source``, so that it is read dequantized."""
        scale, zero = self._scales[name]
        kind = np.int8 if self._preset.signed else np.uint8
        parameters = [self._weight(f"{name}.scale", scale), self._weight(f"{name}.zero_point", kind(zero))]
        result = self._dequantized_name(name)
        self._nodes += [
            helper.make_node("QuantizeLinear", [source, *parameters], [f"{name}.quantized"], f"{name}.quantize"),
            helper.make_node("DequantizeLinear", [f"{name}.quantized", *parameters], [result], f"{name}.dequantize"),
        ]

    def _dequantized_name(self, name: str) -> str:
        """Of an activation; the graph's outputs keep their names."""
        return name if name in self._results else f"{name}.dequantized"

    def _apart(self, node: NodeProto) -> str:
        """What a layer that stays float reads: the float itself, or where there is none at hand, a pair of its own.

        ONNX Runtime quantizes float weights when it loads a file, all channels by one scale (its optimizer
        WeightBiasQuantization), if the input is dequantized by a scalar and a QuantizeLinear follows. So this pair has
        a scale per channel, all alike: the same values.
        """
        name: str = node.input[0]
        if not self._preset.outputs:
            return name
        result = f"{name}.per_channel"
        if f"{result}.scale" not in self._weights:
            (scale, zero), shape = self._scales[name], self._floats[node.input[1]].dims
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            channels = shape[1 - _output_axis(node)] * groups
            kind = np.int8 if self._preset.signed else np.uint8
            parameters = [
                self._weight(f"{result}.scale", np.full(channels, scale)),
                self._weight(f"{result}.zero_point", np.full(channels, zero, kind)),
            ]
            inputs, axis = [f"{name}.quantized", *parameters], -1 if node.op_type == "MatMul" else 1
            pair = helper.make_node("DequantizeLinear", inputs, [result], f"{result}.dequantize", axis=axis)
            self._nodes.append(pair)
        return result

    def _parameters(self, node: NodeProto) -> list[str]:
        """Int8 weight and, where there is one, bias of a node, each behind a DequantizeLinear."""
        weight = numpy_helper.to_array(self._floats[node.input[1]])
        axis = _output_axis(node)
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scales = np.abs(weight).max(axis=others) / np.float32(127)
        bias = numpy_helper.to_array(self._floats[node.input[2]]) if len(node.input) > 2 and node.input[2] else None
        entry = self._scales[node.input[0]][0]
        if bias is not None:
            # a channel of tiny weights and a large bias: a coarser weight scale keeps its bias within int32, which
            # ONNX Runtime makes of it where the preset doesn't
            scales = np.maximum(scales, np.abs(bias) / (entry * np.float32(2**30)))
        scales = np.where(scales > _LEAST_SCALE, scales, np.float32(1)).astype(np.float32)
        along = np.expand_dims(scales, others)
        integers = np.clip(np.round(weight / along), -127, 127).astype(np.int8)
        names = [self._dequantized(self._own(node.input[1], node), integers, scales, axis)]
        if bias is None:
            return names
        if not self._preset.bias:
            return [*names, node.input[2]]
        biases = (entry * scales).astype(np.float32)
        name = self._own(node.input[2], node)
        return [*names, self._dequantized(name, np.round(bias / biases).astype(np.int32), biases, 0)]

    def _own(self, name: str, node: NodeProto) -> str:
        """What a constant is called for a layer: of one that several share, each has its own integers."""
        return f"{node.name}.{name}" if f"{name}.quantized" in self._weights else name

    def _dequantized(self, name: str, integers: npt.NDArray[np.generic], scales: _Floats, axis: int) -> str:
        zeros = np.zeros(len(scales), integers.dtype)
        inputs = [
            self._weight(f"{name}.quantized", integers),
            self._weight(f"{name}.scale", scales),
            self._weight(f"{name}.zero_point", zeros),
        ]
        result = f"{name}.dequantized"
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [result], f"{name}.dequantize", axis=axis))
        return result

    def _weight(self, name: str, value: npt.ArrayLike) -> str:
        self._weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


def _output_axis(node: NodeProto) -> int:
    """The axis of a layer's weight along which its output channels lie."""
    transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1
