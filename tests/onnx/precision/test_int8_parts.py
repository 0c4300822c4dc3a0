"""Parts are found by the graph's shape, and what is kept of them really stays float."""

from __future__ import annotations

import onnx
import pytest
import torch

from hwnas.artifacts.formats.onnx import OnnxFormat
from hwnas.artifacts.parity import random_textures, sqnr_db
from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.onnx.computed import computed_precisions, optimized, weight_precisions
from hwnas.onnx.precision.int8 import (
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    Preset,
    nodes_of,
    quantize_by,
    random_feeds,
    ranges_of,
)
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.onnx_models import onnx_of

GATED, PLAIN = 1, 0  # choices of the small space: kernel 3 with and without squeeze-and-excitation


def graph_of(space: ChainSpace, choice: int) -> bytes:
    return onnx_of(Network(space, [choice] * space.num_layers).eval(), (3, 16, 16))


def test_parts_are_named(small_space: ChainSpace) -> None:
    proto = onnx.load_from_string(graph_of(small_space, GATED))
    layers = [f"layers.{i}.mid_se" for i in range(small_space.num_layers)]
    products = {node.name for node in proto.graph.node if node.op_type == "Mul"}
    members = ("pool", "squeeze_conv", "relu", "excite_conv", "gate")
    assert len(products) == len(layers)
    assert nodes_of(proto, "se") == products | {f"{layer}.{member}" for layer in layers for member in members}
    network = Network(small_space, [GATED] * small_space.num_layers)
    depthwise = {name for name, module in network.named_modules() if getattr(module, "groups", 1) > 1}
    assert nodes_of(proto, "depthwise") == depthwise
    assert nodes_of(proto, "first") == {"stem.conv.0"}
    assert nodes_of(proto, "last") == {"head.classifier"}
    assert nodes_of(onnx.load_from_string(graph_of(small_space, PLAIN)), "se") == set()


@pytest.mark.parametrize("preset", [ONNXRUNTIME, OPENVINO, TENSORRT])
def test_what_is_kept_reads_no_int8(small_space: ChainSpace, preset: Preset) -> None:
    model = graph_of(small_space, GATED)
    parts = ("se", "depthwise", "first", "last")
    keep = {name for part in parts for name in nodes_of(onnx.load_from_string(model), part)}
    ranges = ranges_of(model, random_feeds(model), preset, "mse")
    after = onnx.load_from_string(quantize_by(ranges, model, preset, parts)).graph
    givers = {name: node.op_type for node in after.node for name in node.output}
    floats = {weight.name for weight in after.initializer if weight.data_type == onnx.TensorProto.FLOAT}
    for node in after.node:
        if node.op_type in ("Conv", "Gemm"):
            assert (node.input[1] in floats) == (node.name in keep), node.name
            assert (givers.get(node.input[1]) == "DequantizeLinear") == (node.name not in keep)
    onnx.checker.check_model(onnx.load_from_string(quantize_by(ranges, model, preset, parts)), full_check=True)


def test_onnxruntime_computes_what_was_asked_and_says_so(small_space: ChainSpace) -> None:
    model = graph_of(small_space, GATED)
    layers = sum(node.op_type in ("Conv", "Gemm") for node in onnx.load_from_string(model).graph.node)
    gates = sum(node.op_type == "GlobalAveragePool" for node in onnx.load_from_string(model).graph.node) - 1
    assert computed_precisions(model) == {"fp32": layers}
    ranges = ranges_of(model, random_feeds(model), ONNXRUNTIME, "minmax")
    assert computed_precisions(quantize_by(ranges, model, ONNXRUNTIME)) == {"int8": layers}
    kept = quantize_by(ranges, model, ONNXRUNTIME, ["se"])
    assert computed_precisions(kept) == {"int8": layers - 2 * gates, "fp32": 2 * gates}
    assert not any(node.op_type == "QLinearMul" for node in optimized(kept).graph.node)


@pytest.fixture(scope="module")
def uneven() -> bytes:
    """Depthwise convolutions of which some channels are a hundred times the others: a scale for all loses the others.

    Its activations are clamps, which an int8 convolution takes in, so nothing but float weights says that it isn't one.
    """
    network = Network(get_space("macro", resolution=16), [1, 2] * 4).eval()
    with torch.no_grad():
        for module in network.modules():
            if getattr(module, "groups", 1) > 1:
                module.weight[::4] *= 100  # type: ignore[operator, index]
    return onnx_of(network)


@pytest.mark.parametrize("parts", [("depthwise",), ("first", "last"), ("se", "depthwise", "first", "last")])
def test_a_default_session_leaves_float_weights_alone(uneven: bytes, parts: tuple[str, ...]) -> None:
    """It computes what the graph says, which a session without optimizers does by definition."""
    images = [[random_textures(16, (3, 16, 16), seed)] for seed in range(2)]
    kept = quantize_by(ranges_of(uneven, images[:1], ONNXRUNTIME, "mse"), uneven, ONNXRUNTIME, parts)
    assert computed_precisions(kept) == weight_precisions(kept)
    literal, default = (
        OnnxRuntime({"optimization": level}).load(kept, threads=1, precision="int8").run(images[1])[0]
        for level in ("disable", "all")
    )
    assert (sqnr_db(literal, default) or 0) > 25


@pytest.mark.parametrize("preset", [ONNXRUNTIME, OPENVINO, TENSORRT])
def test_no_pair_is_written_that_nothing_reads(uneven: bytes, preset: Preset) -> None:
    ranges = ranges_of(uneven, random_feeds(uneven), preset, "minmax")
    graph = onnx.load_from_string(quantize_by(ranges, uneven, preset, ["depthwise"])).graph
    read = {name for node in graph.node for name in node.input} | {graph.output[0].name}
    assert all(name in read for node in graph.node for name in node.output)


def test_layers_quantized_anew_are_told(uneven: bytes) -> None:
    """The same file with a scalar pair in front of the float layers, as other tools write it."""
    ranges = ranges_of(uneven, random_feeds(uneven), ONNXRUNTIME, "minmax")
    proto = onnx.load_from_string(quantize_by(ranges, uneven, ONNXRUNTIME, ["depthwise"]))
    for node in proto.graph.node:
        if node.output[0].endswith(".per_channel"):
            name = node.output[0].removesuffix(".per_channel")
            node.input[1:] = [f"{name}.scale", f"{name}.zero_point"]
    model = proto.SerializeToString()
    session = OnnxRuntime().load(model, threads=1, precision="int8")
    with pytest.raises(ModelError, match=r"ONNX Runtime [\d.]+ quantizes 8 layers anew that the file keeps in float"):
        OnnxFormat().precisions({".onnx": model}, session)


def test_int8_weights_that_are_computed_in_float_are_caught(small_space: ChainSpace) -> None:
    """TensorRT's form is all int8 to look at, and none of its convolutions fuses on ONNX Runtime's CPU provider."""
    model = graph_of(small_space, PLAIN)
    foreign = quantize_by(ranges_of(model, random_feeds(model), TENSORRT, "minmax"), model, TENSORRT)
    found = computed_precisions(foreign)
    assert found["fp32"] > 10 * found.get("int8", 0)
