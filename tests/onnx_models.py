"""ONNX models: of networks and of single layers with weights of one's own, and of any nodes."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from hwnas.arrays import Array
from hwnas.graph.graph import Shape, chain
from hwnas.graph.primitives import Activation, Conv, Flatten, Pool, Primitive
from hwnas.nn.layers import GraphModule, weights_of
from hwnas.onnx.write import to_onnx

_ACTS = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Hardswish: "hswish", nn.Hardsigmoid: "hsigmoid"}


def onnx_of(module: nn.Module, chw: Shape = (), *, opset: int = 20, ir_version: int = 10) -> bytes:
    """A network, or layers one behind the other for input of ``chw``."""
    if isinstance(module, GraphModule):
        return to_onnx(module.graph, weights_of(module), opset=opset, ir_version=ir_version)
    layers = list(module) if isinstance(module, nn.Sequential) else [module]
    parts: list[tuple[str, Primitive]] = []
    weights = {}
    for index, layer in enumerate(layers):
        place = str(index)
        parts.append((place, _primitive(layer, parts[-1][1].out_shape if parts else chw)))
        weights |= {f"{place}.{name}": value for name, value in weights_of(layer).items()}
    return to_onnx(chain(chw, tuple(parts)), weights, opset=opset, ir_version=ir_version)


def exported(module: nn.Module, *inputs: torch.Tensor) -> bytes:
    """Anyone's network, as PyTorch's own exporter writes it."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        torch.onnx.export(module.eval(), inputs, str(path), dynamo=False, opset_version=17, input_names=["images"])
        return path.read_bytes()


def graph_model(nodes: list[onnx.NodeProto], inputs: dict[str, Array], outputs: list[str], **weights: Array) -> bytes:
    """Of inputs like these arrays, the batch left open."""
    entries = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), ["batch", *x.shape[1:]])
        for name, x in inputs.items()
    ]
    results = [helper.make_value_info(name, helper.make_tensor_type_proto(0, None)) for name in outputs]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", entries, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    return bytes(inferred.SerializeToString())


def _primitive(layer: nn.Module, shape: Shape) -> Primitive:
    if isinstance(layer, nn.Conv2d):
        return Conv(
            shape=shape, c_out=layer.out_channels, kernel=layer.kernel_size[0], stride=layer.stride[0],
            groups=layer.groups, bias=layer.bias is not None,
        )  # fmt: skip
    if isinstance(layer, nn.Flatten):
        return Flatten(shape=shape)
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return Pool(shape=shape)
    return Activation(shape=shape, act=_ACTS[type(layer)])
