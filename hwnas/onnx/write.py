"""A graph and its weights -> a clean ONNX model, node by node.

Why not ``torch.onnx.export``: profiling turns hundreds of Ops into ONNX, at 3 to 8 s each there; and it writes
ReduceMean for global average pooling (which keeps ONNX Runtime from its blocked layouts), absolute source paths,
and the opset it likes. Here a network takes milliseconds, BN is folded into its convolution, and each primitive is a
node under the name of its place, or two where ONNX has none that adds a bias. A primitive without an ONNX node is an
error, never left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ModelError
from hwnas.graph.foldable import norm_behind
from hwnas.graph.graph import Graph, Node
from hwnas.graph.opaque import Opaque
from hwnas.graph.primitives import (
    EPSILON,
    Activation,
    Add,
    Conv,
    Flatten,
    LayerNorm,
    Linear,
    Matmul,
    Multiply,
    Norm,
    Pool,
    Position,
    Primitive,
    Reshape,
    Scale,
    Softmax,
    TokenPool,
    Transpose,
)
from hwnas.records.network import INPUT, OUTPUT
from hwnas.records.target import IR_VERSION, OPSET

Weights = Mapping[str, npt.NDArray[np.floating]]
"""Arrays by place and name, such as ``layers.3.conv1.weight``, as PyTorch's state dicts have them."""


def to_onnx(graph: Graph, weights: Weights, *, opset: int = OPSET, ir_version: int = IR_VERSION) -> bytes:
    """``graph`` as a serialized ONNX model, BN folded, batch dynamic: images (batch, C, H, W) -> logits.

    It has one input and one output, and may hold blocks; ``weights``, float32 or float64, are those of all its places.

    Raises:
        ModelError: a primitive can't be written, or isn't in the opset; or the installed onnx doesn't know the
            versions.
    """
    check_versions(opset, ir_version)
    writer = _Writer(opset, weights)
    primitives = graph.expanded
    names = {primitives.inputs[0]: INPUT}
    folded: set[str] = set()
    for node in primitives:
        inputs = [names[name] for name in node.inputs]
        if node.place in folded:
            names[node.place] = inputs[0]
            continue
        if norm := norm_behind(primitives, node):
            folded.add(norm.place)
        names[node.place] = writer.primitive(node, inputs, norm.place if norm else None)
    return writer.model(names[primitives.outputs[0]], graph.in_shapes[0], ir_version)


def onnx_kinds(op: Primitive) -> tuple[str, ...]:
    """The operators that a primitive becomes, one behind the other (a BN only where no convolution takes it in).

    Raises:
        ModelError: none.
    """
    match op:
        case Opaque():
            return ("Module",)
        case Linear() if len(op.shape) > 1:
            return "MatMul", "Add"
        case Position():
            return ("Pad", "Add") if op.token else ("Add",)
        case TokenPool():
            return ("Gather" if op.token else "ReduceMean",)
    kind = _ACTIVATIONS.get(op.act) if isinstance(op, Activation) else _KINDS.get(type(op))
    if kind is None:
        raise ModelError(f"can't write {op} to ONNX; add it to hwnas.onnx.write")
    return (kind,)


def check_versions(opset: int, ir_version: int) -> None:
    """Raises:
    ModelError: the installed onnx doesn't write them.
    """
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ModelError(f"onnx {onnx.__version__} writes opsets up to {newest}, not {opset}")
    least = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    if not least <= ir_version <= onnx.IR_VERSION:
        raise ModelError(f"opset {opset} goes with IR versions {least} to {onnx.IR_VERSION} here, not {ir_version}")


class _Writer:
    """Collects nodes and weights."""

    def __init__(self, opset: int, weights: Weights) -> None:
        self._opset, self._given = opset, weights
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def primitive(self, node: Node, inputs: list[str], norm: str | None) -> str:
        """Write a node, with the BN at ``norm`` folded into it; returns the name of what it gives."""
        op, name = node.op, node.place or node.op.kind
        if isinstance(op, Opaque):
            return self._opaque(op, node.place, name, inputs)
        assert isinstance(op, Primitive)
        kinds = onnx_kinds(op)
        for kind, (arrays, attributes) in zip(kinds, _parts(op, self._parameters(node, norm)), strict=True):
            self._check_opset(kind, name)
            part = name if kind == kinds[-1] else f"{name}.{kind.lower()}"
            for suffix, array in arrays.items():
                inputs = [*inputs, f"{name}.{suffix}"]
                self._weights.append(numpy_helper.from_array(_as_stored(array), inputs[-1]))
            self._nodes.append(helper.make_node(kind, inputs, [part], name=part, **attributes))
            inputs = [part]
        return name

    def _opaque(self, op: Opaque, place: str, name: str, inputs: list[str]) -> str:
        """Its own nodes, each name behind that of its place."""
        prefix = f"{place}." if place else ""
        weights = {key.removeprefix(prefix): array for key, array in self._given.items() if key.startswith(prefix)}
        graph = onnx.load_from_string(op.own_nodes(weights or None, self._opset)).graph
        names = {"": "", graph.input[0].name: inputs[0], graph.output[0].name: name}

        def renamed(value: str) -> str:
            plain = value.strip("/").removeprefix("net/").replace("/", ".")
            return names.setdefault(value, f"{name}.{plain}")

        for weight in graph.initializer:
            weight.name = renamed(weight.name)
        for node in graph.node:
            node.name = f"{name}.{node.name.strip('/').replace('/', '.')}"
            node.input[:] = map(renamed, node.input)
            node.output[:] = map(renamed, node.output)
        self._weights += graph.initializer
        self._nodes += graph.node
        return name

    def _check_opset(self, kind: str, name: str) -> None:
        first = _AS_WRITTEN_SINCE.get(kind, 1)
        if self._opset >= first and onnx.defs.has(kind, max_inclusive_version=self._opset):
            return
        schemas = onnx.defs.get_all_schemas_with_history()
        first = max(first, min(schema.since_version for schema in schemas if schema.name == kind))
        raise ModelError(f"opset {self._opset} has no {kind}, which {name} needs; use opset {first} or later")

    def _parameters(self, node: Node, norm: str | None) -> _Arrays:
        found = self._at(node.place)
        if norm is None:
            return found
        bn = {key: value.astype(np.float64) for key, value in self._at(norm).items()}  # so that it is rounded once
        scale = bn["weight"] / np.sqrt(bn["running_var"] + EPSILON)
        bias = found.get("bias", 0.0) - bn["running_mean"]
        return {"weight": found["weight"] * scale[:, None, None, None], "bias": bias * scale + bn["bias"]}

    def _at(self, place: str) -> _Arrays:
        prefix = f"{place}." if place else ""
        return {name: self._given[prefix + name] for name in _AT_A_PLACE if prefix + name in self._given}

    def model(self, result: str, input_chw: tuple[int, ...], ir_version: int) -> bytes:
        for node in self._nodes:
            node.input[:] = [OUTPUT if name == result else name for name in node.input]
            node.output[:] = [OUTPUT if name == result else name for name in node.output]
        shape: list[str | int | None] = ["batch", *input_chw]
        graph = helper.make_graph(
            self._nodes,
            "hwnas",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)],
            self._weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=ir_version, producer_name="hwnas"
        )
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        inferred = model.graph.output[0].type.tensor_type.shape.dim
        inferred[0].dim_param = "batch"
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_AT_A_PLACE = (*_STATISTICS, "token")
_AS_WRITTEN_SINCE = {"ReduceMean": 18}  # opsets: its axes were no input before
_Arrays = dict[str, npt.NDArray[Any]]


def _as_stored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integers, which shapes and indices are, as ONNX wants them; all else is float32."""
    return np.asarray(array, np.int64 if array.dtype.kind == "i" else np.float32, order="C")


def _parts(op: Primitive, given: _Arrays) -> list[tuple[_Arrays, dict[str, Any]]]:
    """Of each operator that a primitive becomes: constants behind its inputs, in order, and its attributes."""
    match op:
        case Conv():
            attributes = {
                "kernel_shape": [op.kernel] * 2, "strides": [op.stride] * 2, "pads": [op.padding] * 4,
                "dilations": [1, 1], "group": op.groups,
            }  # fmt: skip
            return [(given, attributes)]
        case Linear() if len(op.shape) > 1:
            return [({"weight": given["weight"].T}, {}), ({"bias": given["bias"]}, {})]
        case Linear():
            return [(given, {"transB": 1})]
        case Norm():
            return [({name: given[name] for name in _STATISTICS}, {"epsilon": EPSILON})]
        case LayerNorm():
            return [({name: given[name] for name in ("weight", "bias")}, {"axis": -1, "epsilon": EPSILON})]
        case Flatten():
            return [({}, {"axis": 1})]
        case Activation(act="relu6"):
            return [({"min": np.array(0, np.float32), "max": np.array(6, np.float32)}, {})]
        case Activation(act="hsigmoid"):
            return [({}, {"alpha": 1 / 6, "beta": 0.5})]
        case Softmax():
            return [({}, {"axis": -1})]
        case Scale():
            return [({"factor": np.array(op.factor, np.float32)}, {})]
        case Reshape():
            return [({"shape": np.array([0, *op.to])}, {})]  # 0 is the batch, as it comes
        case Transpose():
            return [({}, {"perm": [0, *op.order]})]
        case Position(token=True):
            rows = np.concatenate([given["weight"][:1] + given["token"], given["weight"][1:]])
            return [({"pads": np.array([0, 1, 0, 0, 0, 0])}, {}), ({"weight": rows}, {})]
        case Position():
            return [({"weight": given["weight"]}, {})]
        case TokenPool(token=True):
            return [({"index": np.array(0)}, {"axis": 1})]
        case TokenPool():
            return [({"axes": np.array([1])}, {"keepdims": 0})]
    return [({}, {})]


_KINDS: dict[type[Primitive], str] = {
    Conv: "Conv", Linear: "Gemm", Norm: "BatchNormalization", Pool: "GlobalAveragePool", Flatten: "Flatten",
    Add: "Add", Multiply: "Mul", LayerNorm: "LayerNormalization", Scale: "Mul", Softmax: "Softmax", Matmul: "MatMul",
    Reshape: "Reshape", Transpose: "Transpose",
}  # fmt: skip
_ACTIVATIONS = {
    "relu": "Relu", "relu6": "Clip", "hswish": "HardSwish", "hsigmoid": "HardSigmoid", "gelu": "Gelu",
}  # fmt: skip
