"""Proof that an ONNX graph is the arch and nothing else, and that a file of another format is that graph.

What is expected comes from the arch's Ops: their expansions give the layers, and the formulas of
:mod:`hwnas.graph.count` the totals. What is there is read from the file alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from math import prod
from typing import NamedTuple

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from hwnas.artifacts.entry import PREFIX
from hwnas.errors import CountError
from hwnas.graph.count import cost
from hwnas.graph.foldable import norm_behind
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Conv, Linear, Matmul, Primitive
from hwnas.onnx.optimize.gates import gather_gates
from hwnas.onnx.optimize.groups import without_merging
from hwnas.onnx.optimize.padding import without_padding
from hwnas.onnx.read import constants, is_layer
from hwnas.onnx.write import onnx_kinds
from hwnas.records.network import Figures
from hwnas.records.optimized import OptimizedRecord
from hwnas.records.target import Target

_CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")
"""What precisions add to a graph; they hold scales and zero points, no parameters."""

_TAKE_SHAPES = ("Reshape", "Pad")
"""Nodes whose other inputs are an integer for each dimension, which the checks of their results' shapes know."""
_TAKE_SIZES = ("Resize", "Upsample")
"""Nodes whose other inputs are floats, and none that a network learns."""
_LEARNED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.INT32)


class Layer(NamedTuple):
    """A node; for those that multiply also what by.

    Attributes:
        kind: its operator.
        weight: shape of its weight, or of the second of two values that it multiplies.
        groups: of a convolution.
        pixels: how many of an image's pixels, tokens or rows it computes.
        learned: whether ``weight`` is one.
    """

    kind: str
    weight: tuple[int, ...] = ()
    groups: int = 1
    pixels: int = 1
    learned: bool = True

    @property
    def madds(self) -> int:
        """Multiply-adds for one image."""
        return prod(self.weight) * self.pixels if self.weight else 0

    def __str__(self) -> str:
        if not self.weight:
            return self.kind
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        values = "" if self.learned else "a value of "
        return f"{self.kind} {values}{'×'.join(map(str, self.weight))}{groups} at {self.pixels} pixels"


class Structure(NamedTuple):
    """Convolutions and linear layers.

    Attributes:
        layers: how many.
        weights: of all of them, without biases.
        madds: multiply-adds of one image, those of attention's products of values included.
    """

    layers: int
    weights: int
    madds: int


def graph_structure(graph: bytes) -> Structure:
    """Counted in a serialized ONNX graph, weights behind a DequantizeLinear included."""
    layers = [layer for layer in _layers(_with_shapes(graph)) if layer.weight]
    weights = [prod(layer.weight) for layer in layers if layer.learned]
    return Structure(len(weights), sum(weights), sum(layer.madds for layer in layers))


def check_written(found: Structure, graph: bytes) -> None:
    """Hold what a file has against the graph it was made of.

    Raises:
        CountError: they differ.
    """
    for name, here, there in zip(Structure._fields, found, graph_structure(graph), strict=True):
        if here != there:
            raise CountError(
                f"the written file has {here:,} {name} of convolutions and linear layers, its graph {there:,}"
            )


def check_structure(model: bytes, arch: Graph, optimized: OptimizedRecord | None = None) -> int:
    """Hold an ONNX graph in any precision against the arch's; returns how many declared zeros it has beside.

    What rewrites add is taken away first: zeros that ``optimized`` declares, and are, and what spreads a gate.

    Raises:
        CountError: a layer is missing, too many or of another size; a constant or a node serves nothing; parameters or
            multiply-adds aren't those of the arch.
    """
    proto = onnx.load_from_string(model)
    _check_written_here(proto)
    _check_alive(_with_shapes(model))
    graph = _with_shapes(_plain(proto, optimized) if optimized else model)
    found = Counter(_layers(graph))
    expected = Counter(layer for op in arch.ops for layer in layers_of(op))
    differences = [f"{n} × {layer} missing" for layer, n in (expected - found).items()]
    differences += [f"{n} × {layer} too many" for layer, n in (found - expected).items()]
    if differences:
        raise CountError(f"the exported graph isn't the arch: {'; '.join(differences[:6])}")
    costs = [cost(op) for op in arch.ops]
    for does, what, there, due in (
        ("does", "multiply-adds", sum(layer.madds * n for layer, n in found.items()), sum(c.madds for c in costs)),
        ("has", "parameters", _parameters(graph), sum(c.weights + c.biases + c.floats for c in costs)),
    ):
        if there != due:
            raise CountError(f"the exported graph {does} {there:,} {what}, the arch {due:,}")
    return _parameters(proto.graph) - _parameters(graph)


def _plain(proto: ModelProto, optimized: OptimizedRecord) -> bytes:
    """The graph before it was padded with zeros, groups were merged and gates were spread."""
    plain = without_padding(without_merging(proto, optimized.merged), optimized.padded)
    gathered = gather_gates(plain)
    return bytes((gathered.model if gathered else plain).SerializeToString())


def file_figures(model: bytes) -> Figures:
    """Of somebody's graph, in any precision: its convolutions and products, and all that isn't a single number.

    What several nodes read counts for each of them, as in a quantized graph each has its own.
    """
    graph = _with_shapes(model)
    known = constants(graph)
    apart = (*_CONVERSIONS, *_TAKE_SIZES)
    read = [name for node in graph.node if node.op_type not in apart and not _normalises(node) for name in node.input]
    sizes = [prod(known[name].dims) for name in read if name in known and known[name].data_type in _LEARNED]
    madds = sum(layer.madds for layer in _layers(graph))
    return Figures(madds=madds, params=sum(size for size in sizes if size > 1))


def check_figures(model: bytes, expected: Figures, optimized: OptimizedRecord | None = None) -> int:
    """Hold a graph in any precision against what its original was counted to have; as :func:`check_structure`.

    Raises:
        CountError: it has other multiply-adds or parameters, or holds what hwnas doesn't write.
    """
    proto = onnx.load_from_string(model)
    _check_written_here(proto)
    found = file_figures(_plain(proto, optimized) if optimized else model)
    for name, there, due in (
        ("multiply-adds", found.madds, expected.madds),
        ("parameters", found.params, expected.params),
    ):
        if there != due:
            raise CountError(f"the exported graph has {there:,} {name}, the original {due:,}")
    return file_figures(model).params - found.params


def _check_written_here(proto: ModelProto) -> None:
    if proto.metadata_props or proto.functions or proto.training_info:  # ONNX Runtime may take session options from it
        raise CountError("the exported graph holds metadata, functions or training parts, which hwnas doesn't write")


def check_versions(model: bytes, target: Target) -> None:
    """Hold a graph's opset and IR version against those asked for.

    Raises:
        CountError: they differ.
    """
    proto = onnx.load_from_string(model)
    found = ([o.version for o in proto.opset_import if not o.domain], proto.ir_version)
    if found != ([target.opset], target.ir_version):
        raise CountError(
            f"the exported graph has opset and IR version {found}, not {target.opset} and {target.ir_version}"
        )


def layers_of(op: Op) -> list[Layer]:
    """The nodes that an Op's graph has, BN folded."""
    graph = expanded(op)
    folded = {norm.place for node in graph if (norm := norm_behind(graph, node))}
    return [layer for node in graph if node.place not in folded for layer in _nodes(node.op)]


def _nodes(op: Op) -> list[Layer]:
    assert isinstance(op, Primitive)
    kind, *others = onnx_kinds(op)
    match op:
        case Conv():
            layer = Layer(kind, op.parameters["weight"], op.groups, prod(op.out_shape[1:]))
        case Linear():
            weight = op.parameters["weight"]
            layer = Layer(kind, weight[::-1] if kind == "MatMul" else weight, pixels=prod(op.shape[:-1]))
        case Matmul():
            layer = Layer(kind, op.in_shapes[1], pixels=op.shape[-2], learned=False)
        case _:
            layer = Layer(kind)
    return [layer, *map(Layer, others)]


def _with_shapes(model: bytes) -> GraphProto:
    """For a batch of 1 where it is open: behind a Reshape of a module's own nothing would be known of an open one."""
    proto = onnx.load_from_string(model)
    ends = [value.type.tensor_type.shape.dim for value in (*proto.graph.input, *proto.graph.output)]
    if any(dims and dims[0].dim_param for dims in ends):
        del proto.graph.value_info[:]
        for dims in ends:
            if dims and dims[0].dim_param:
                dims[0].dim_value = 1
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph


def _layers(graph: GraphProto) -> Iterable[Layer]:
    weights = {name: tuple(weight.dims) for name, weight in constants(graph).items()}
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in values}
    batch = common_batch([shapes[v.name] for v in (*graph.input, *graph.output)])
    for node in graph.node:
        if is_layer(node, weights):
            shape = weights[node.input[1]]
            result = shapes[node.output[0]]
            if node.op_type == "Conv":
                pixels = result[0] * prod(result[2:]) // batch
                yield Layer("Conv", shape, _attribute(node, "group", 1), pixels)
            else:
                turned = node.op_type == "Gemm" and not _attribute(node, "transB", 0)
                yield Layer(node.op_type, shape[::-1] if turned else shape, pixels=prod(result[:-1]) // batch)
        elif node.op_type == "ConvTranspose" and node.input[1] in weights:
            first = shapes[node.input[0]]
            pixels = first[0] * prod(first[2:]) // batch
            yield Layer("ConvTranspose", weights[node.input[1]], _attribute(node, "group", 1), pixels)
        elif node.op_type == "MatMul":
            first, second = (shapes[name] for name in node.input)
            factor = tuple(second[-2:] if len(second) < 3 else second[1:])
            products = prod(shapes[node.output[0]]) * first[-1] // batch
            yield Layer("MatMul", factor, pixels=products // prod(factor), learned=False)
        elif node.op_type not in _CONVERSIONS and not _normalises(node):
            yield Layer(node.op_type)


def common_batch(shapes: Sequence[Sequence[int]]) -> int:
    """The size that comes first in all that a graph takes and gives; 1 where there is none."""
    firsts = {tuple(shape[:1]) for shape in shapes}
    return next(iter(firsts))[0] if len(firsts) == 1 and () not in firsts else 1


def _parameters(graph: GraphProto) -> int:
    """Numbers that the network has learnt."""
    known = constants(graph)
    return sum(prod(known[name].dims) for node in graph.node for name in _learned(node, known))


def _learned(node: NodeProto, known: Container[str]) -> list[str]:
    """Those of its inputs that the network has learnt: weights, biases, layer norm's, what is added to tokens."""
    if is_layer(node, known) or node.op_type in ("LayerNormalization", "Add"):
        return [name for name in node.input if name in known and not _normalises(node)]
    return []


def _check_alive(graph: GraphProto) -> None:
    """Every constant and every node's result is read, and constants outside of layers are small."""
    known = constants(graph)
    layers = {name for node in graph.node for name in _learned(node, known)}
    layers |= {name for node in graph.node if node.op_type in _TAKE_SHAPES for name in node.input[1:]}
    behind = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] in layers}
    scales = {name for node in graph.node if node.op_type in _CONVERSIONS for name in node.input[1:]}
    scales |= {name for node in graph.node if _normalises(node) or node.op_type == "Resize" for name in node.input}
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for weight in graph.initializer:
        numbers = prod(weight.dims)
        if weight.name not in read:
            raise CountError(f"the exported graph holds {weight.name}, {numbers:,} numbers that nothing reads")
        if numbers > 1 and weight.name not in layers | behind | scales:
            raise CountError(f"the exported graph holds {weight.name}, {numbers:,} numbers that are no layer's weights")
    for node in graph.node:
        if read.isdisjoint(node.output):
            raise CountError(f"nothing reads what {node.op_type} {node.name} of the exported graph gives")
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise CountError(f"{node.op_type} {node.name} of the exported graph holds another graph")


def _normalises(node: NodeProto) -> bool:
    return node.name.startswith(f"{PREFIX}.") and node.op_type in ("Cast", "Transpose", "Mul", "Add")


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(helper.get_attribute_value(a)) for a in node.attribute if a.name == name), default)
