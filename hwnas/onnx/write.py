"""An eval-mode module -> a clean ONNX model, node by node from its torch.fx graph.

Why not ``torch.onnx.export``: profiling turns hundreds of Ops into ONNX, at 3 to 8 s each there; and it writes
ReduceMean for global average pooling (which keeps ONNX Runtime from its blocked layouts), absolute source paths,
and the opset it likes. Here a network takes milliseconds, BN is folded into its convolution, and each node is one
layer under its own name. Only the layers below can be written; anything else is an error, never left out.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwnas.errors import ModelError
from hwnas.onnx.opset import IR_VERSION, OPSET

INPUT = "images"
OUTPUT = "logits"


def to_onnx(
    module: nn.Module, input_chw: tuple[int, int, int], *, opset: int = OPSET, ir_version: int = IR_VERSION
) -> bytes:
    """``module`` as a serialized ONNX model, BN folded, batch dynamic: images (batch, C, H, W) -> logits.

    Args:
        module: float32; it isn't changed. Written as it computes in eval mode.
        input_chw: channels, height, width of the input.
        opset: version of the operators.
        ir_version: of the file format.

    Raises:
        ModelError: the module has a layer that can't be written, or that the opset doesn't have; or the installed onnx
            doesn't know the versions.
    """
    _check_versions(opset, ir_version)
    writer = _Writer(opset)
    traced = layer_graph(module)
    names: dict[fx.Node, str] = {}
    skipped: set[fx.Node] = set()
    result = ""
    for node in traced.graph.nodes:
        if node in skipped:
            continue
        inputs = [names[arg] for arg in node.all_input_nodes]
        if node.op == "placeholder":
            names[node] = INPUT
        elif node.op == "output":
            result = inputs[0]
        elif node.op == "call_module":
            layer = traced.get_submodule(str(node.target))
            if isinstance(layer, nn.Conv2d) and (norm := _only_batchnorm(traced, node)):
                layer = _folded(layer, traced.get_submodule(str(norm.target)))
                skipped.add(norm)
                names[norm] = names[node] = writer.layer(str(node.target), layer, inputs)
            else:
                names[node] = writer.layer(str(node.target), layer, inputs)
        elif node.op == "call_function" and node.target in (operator.add, operator.mul):
            kind = "Add" if node.target is operator.add else "Mul"
            names[node] = writer.node(kind, node.name, inputs)
        else:
            raise ModelError(f"can't write {node.op} {node.target} to ONNX; use layers that hwnas.onnx.write knows")
    return writer.model(result, input_chw, ir_version)


def _check_versions(opset: int, ir_version: int) -> None:
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ModelError(f"onnx {onnx.__version__} writes opsets up to {newest}, not {opset}")
    least = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    if not least <= ir_version <= onnx.IR_VERSION:
        raise ModelError(f"opset {opset} goes with IR versions {least} to {onnx.IR_VERSION} here, not {ir_version}")


def layer_graph(module: nn.Module) -> fx.GraphModule:
    """``module`` traced down to layers: what is written, node by node."""
    if isinstance(module, _LEAVES):
        module = nn.Sequential(module)  # fx looks inside its root, and a single layer mustn't be looked into
    return fx.GraphModule(module, _LayerTracer().trace(module))


class _LayerTracer(fx.Tracer):
    """Stops at the layers that can be written, whichever package defines them."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, _LEAVES) or super().is_leaf_module(module, qualified_name)


def _only_batchnorm(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The BN behind ``node`` if it is all that reads ``node``."""
    users = [user for user in node.users if user.op == "call_module"]
    if len(node.users) != 1 or not users:
        return None
    return users[0] if isinstance(traced.get_submodule(str(users[0].target)), nn.BatchNorm2d) else None


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """The convolution with BN's running statistics inside; computed in float64, so that it is rounded once."""
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(copy.deepcopy(conv).double().eval(), copy.deepcopy(norm).double().eval())


class _Writer:
    """Collects nodes and weights."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        if not onnx.defs.has(kind, max_inclusive_version=self._opset):
            schemas = onnx.defs.get_all_schemas_with_history()
            first = min(schema.since_version for schema in schemas if schema.name == kind)
            raise ModelError(f"opset {self._opset} has no {kind}, which {name} needs; use opset {first} or later")
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, value: torch.Tensor | npt.NDArray[np.float32]) -> str:
        array = value.detach().float().numpy() if isinstance(value, torch.Tensor) else value
        self._weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def layer(self, name: str, layer: nn.Module, inputs: list[str]) -> str:
        write = _LAYERS.get(type(layer)) or next((w for t, w in _LAYERS.items() if isinstance(layer, t)), None)
        if write is None:
            raise ModelError(f"can't write layer {name} ({type(layer).__name__}) to ONNX")
        return write(self, name, layer, inputs)

    def model(self, result: str, input_chw: tuple[int, int, int], ir_version: int) -> bytes:
        for index, out in enumerate(self._nodes[-1].output):
            if out == result:
                self._nodes[-1].output[index] = OUTPUT
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


def _conv(writer: _Writer, name: str, layer: nn.Module, inputs: list[str]) -> str:
    assert isinstance(layer, nn.Conv2d)
    assert not isinstance(layer.padding, str)
    weights = [writer.weight(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        weights.append(writer.weight(f"{name}.bias", layer.bias))
    return writer.node(
        "Conv", name, inputs + weights,
        kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=list(layer.padding) * 2,
        dilations=list(layer.dilation), group=layer.groups,
    )  # fmt: skip


def _linear(writer: _Writer, name: str, layer: nn.Module, inputs: list[str]) -> str:
    assert isinstance(layer, nn.Linear)
    weights = [writer.weight(f"{name}.weight", layer.weight), writer.weight(f"{name}.bias", layer.bias)]
    return writer.node("Gemm", name, inputs + weights, transB=1)


def _relu6(writer: _Writer, name: str, layer: nn.Module, inputs: list[str]) -> str:
    bounds = [writer.weight(f"{name}.{k}", np.array(v, np.float32)) for k, v in (("min", 0), ("max", 6))]
    return writer.node("Clip", name, inputs + bounds)


def _pool(writer: _Writer, name: str, layer: nn.Module, inputs: list[str]) -> str:
    assert isinstance(layer, nn.AdaptiveAvgPool2d)
    if layer.output_size not in (1, (1, 1)):
        raise ModelError(f"can't write layer {name} to ONNX: pooling to {layer.output_size}, not to 1")
    return writer.node("GlobalAveragePool", name, inputs)


def _simple(kind: str, **attributes: Any) -> Callable[[_Writer, str, nn.Module, list[str]], str]:
    return lambda writer, name, layer, inputs: writer.node(kind, name, inputs, **attributes)


_LAYERS: dict[type[nn.Module], Callable[[_Writer, str, nn.Module, list[str]], str]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.ReLU: _simple("Relu"),
    nn.ReLU6: _relu6,
    nn.Hardswish: _simple("HardSwish"),
    nn.Hardsigmoid: _simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.AdaptiveAvgPool2d: _pool,
    nn.Flatten: _simple("Flatten", axis=1),
}

_LEAVES = (*_LAYERS, nn.BatchNorm2d)
