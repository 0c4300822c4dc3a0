"""Bytes of archs, against the ONNX models that are deployed: their files, and their tensors' lifetimes."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from hwnas.errors import ConfigError
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.onnx.precision.int8 import ONNXRUNTIME, quantize
from hwnas.onnx.write import to_onnx
from hwnas.prediction.costs import model_mb, peak_activation_mb
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import SPACES, get_space
from tests.spaces import keeping

IN_PLACE = {
    "Clip", "Relu", "HardSwish", "HardSigmoid", "Gelu", "Add", "Mul", "Flatten", "Reshape", "Softmax",
    "LayerNormalization",
}  # fmt: skip


def _model(space: ChainSpace, arch: list[int], stabilizers: bool) -> bytes:
    network = Network(keeping(space, stabilizers), arch).eval()
    return to_onnx(network.graph, weights_of(network))


def peak_elements_of(model: bytes) -> int:
    """By walking the graph: a tensor lives from the node that makes it to its last reader; in-place ops reuse one."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True).graph
    weights = {weight.name for weight in graph.initializer}
    shapes = [*graph.input, *graph.value_info, *graph.output]
    size = {v.name: math.prod(d.dim_value or 1 for d in v.type.tensor_type.shape.dim) for v in shapes}
    inputs = [[name for name in node.input if name not in weights] for node in graph.node]
    last = {name: index for index, names in enumerate(inputs) for name in names}
    alive, peak = {graph.input[0].name}, 0
    for index, node in enumerate(graph.node):
        dying = {name for name in inputs[index] if last[name] == index}
        reused = next((name for name in dying if size[name] == size[node.output[0]]), None)
        if node.op_type in IN_PLACE and reused is not None:
            alive.remove(reused)
            dying.remove(reused)
        alive.add(node.output[0])
        peak = max(peak, sum(size[name] for name in alive))
        alive -= dying
    return peak


@pytest.mark.parametrize("stabilizers", [False, True])
@pytest.mark.parametrize("name", SPACES.names())
def test_the_peak_is_that_of_the_graph(name: str, stabilizers: bool) -> None:
    space = get_space(name, 64 if name != "macro" else 32)
    archs = space.sample(6, seed=1)
    predicted_mb = peak_activation_mb(keeping(space, stabilizers))(archs)
    found = [peak_elements_of(_model(space, arch, stabilizers)) for arch in archs.tolist()]
    assert predicted_mb * 1e6 / 4 == pytest.approx(found)


@pytest.mark.parametrize("stabilizers", [False, True])
@pytest.mark.parametrize("name", SPACES.names())
def test_the_size_is_that_of_the_file(name: str, stabilizers: bool) -> None:
    """Exact for the weights; the graph around them, shapes included, is at most 300 bytes a node."""
    space = get_space(name, classes=10)
    archs = space.sample(3, seed=2)
    for arch, predicted_mb in zip(archs.tolist(), model_mb(keeping(space, stabilizers))(archs), strict=True):
        model = _model(space, arch, stabilizers)
        graph = onnx.load_from_string(model).graph
        floats = [weight for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT]
        stored = sum(len(weight.raw_data) for weight in floats if math.prod(weight.dims) > 1)
        assert predicted_mb * 1e6 == pytest.approx(stored)
        assert 0 <= len(model) - stored <= 300 * len(graph.node)


def test_int8_is_the_quantized_file() -> None:
    space = get_space("scarlet-s2", 64, 10)
    arch = space.sample(1, seed=3)
    rng = np.random.default_rng(0)
    images = [[rng.standard_normal((1, 3, 64, 64), dtype=np.float32)]]
    model = quantize(_model(space, arch[0].tolist(), False), images, ONNXRUNTIME)
    assert model_mb(space, precision="int8")(arch)[0] * 1e6 == pytest.approx(len(model), rel=0.1)


def test_half_precision_takes_half() -> None:
    space = get_space("macro")
    archs = space.sample(5, 0)
    for cost in (model_mb, peak_activation_mb):
        assert cost(space, precision="fp16")(archs) == pytest.approx(cost(space)(archs) / 2)


def test_an_unknown_precision() -> None:
    for cost in (model_mb, peak_activation_mb):
        with pytest.raises(ConfigError, match="fp64"):
            cost(get_space("macro"), precision="fp64")
