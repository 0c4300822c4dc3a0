"""Quantized graphs: the arithmetic by hand, ONNX Runtime's quantizer as a second opinion, and where the pairs are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn

from hwnas.arrays import Images
from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.onnx.precision.int8 import ONNXRUNTIME, OPENVINO, TENSORRT, Preset, quantize, random_feeds
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.chain import ChainSpace
from tests.onnx_models import onnx_of

PRESETS = {"onnxruntime": ONNXRUNTIME, "openvino": OPENVINO, "tensorrt": TENSORRT}


@pytest.fixture
def network(small_space: ChainSpace) -> bytes:
    return onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


def constants(model: bytes) -> dict[str, np.ndarray]:
    return {w.name: numpy_helper.to_array(w) for w in onnx.load_from_string(model).graph.initializer}


def run(model: bytes, images: Images) -> Images:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return np.asarray(ort.InferenceSession(model, options).run(None, {"images": images})[0])


def test_by_hand() -> None:
    """One 1×1 convolution, two input and two output channels: every integer from the definition."""
    layer = nn.Conv2d(2, 2, 1)
    layer.weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.25]])[:, :, None, None]
    layer.bias.data = torch.tensor([0.3, -0.1])
    image = np.array([-1.0, 3.0, 0.5, 2.0], np.float32).reshape(1, 2, 1, 2)
    got = constants(quantize(onnx_of(layer, (2, 1, 2)), [[image]], OPENVINO))
    scale, weight_scales = np.float32(4 / 255), np.array([2 / 127, 0.5 / 127], np.float32)
    assert got["images.scale"] == scale
    assert got["images.zero_point"] == 64  # -(-1) / (4 / 255) = 63.75
    np.testing.assert_array_equal(got["0.weight.scale"], weight_scales)
    np.testing.assert_array_equal(got["0.weight.quantized"].reshape(2, 2), [[64, -127], [127, 64]])
    np.testing.assert_allclose(got["0.bias.scale"], scale * weight_scales, rtol=1e-6)
    np.testing.assert_array_equal(got["0.bias.quantized"], np.round([0.3, -0.1] / (scale * weight_scales)))
    signed = constants(quantize(onnx_of(layer, (2, 1, 2)), [[image]], TENSORRT))
    assert signed["images.scale"] == np.float32(3 / 127)
    assert signed["images.zero_point"] == 0
    assert signed["images.zero_point"].dtype == np.int8
    assert signed["0.bias"].dtype == np.float32


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: list[Images]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Images] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image}


def test_same_integers_as_onnxruntimes_quantizer(network: bytes, tmp_path: Path) -> None:
    images = random_feeds(network, 3)
    path = tmp_path / "theirs.onnx"
    quantize_static(
        onnx.load_from_string(network), path, _Reader([image for (image,) in images]),
        quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Gemm"],
    )  # fmt: skip
    theirs, ours = constants(path.read_bytes()), constants(quantize(network, images, OPENVINO))
    weights = [name.removesuffix(".quantized") for name in ours if name.endswith("weight.quantized")]
    assert len(weights) > 20
    for name in weights:
        np.testing.assert_allclose(ours[f"{name}.scale"], theirs[f"{name}_scale"], rtol=1e-5)
        difference = ours[f"{name}.quantized"].astype(int) - theirs[f"{name}_quantized"].astype(int)
        assert np.abs(difference).max() <= 1, name  # their scales are rounded otherwise in the last bit
        assert (difference == 0).mean() > 0.99, name
    scales = [name for name in ours if name.endswith(".scale") and f"{name.removesuffix('.scale')}_scale" in theirs]
    activations = [name.removesuffix(".scale") for name in scales if ".weight" not in name and ".bias" not in name]
    assert activations
    for name in activations:
        np.testing.assert_allclose(ours[f"{name}.scale"], theirs[f"{name}_scale"], rtol=1e-5)
        assert abs(int(ours[f"{name}.zero_point"]) - int(theirs[f"{name}_zero_point"])) <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_close_to_the_float_network(network: bytes, name: str) -> None:
    images = random_feeds(network, 8)
    quantized = quantize(network, images, PRESETS[name])
    batch = np.concatenate([image for (image,) in images])
    expected = run(network, batch)
    assert np.linalg.norm(run(quantized, batch) - expected) < 0.15 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", PRESETS)
def test_same_input_same_bytes(network: bytes, name: str) -> None:
    images = random_feeds(network)
    assert quantize(network, images, PRESETS[name]) == quantize(network, images, PRESETS[name])


@pytest.mark.parametrize("name", PRESETS)
def test_a_valid_model_with_the_same_ends(network: bytes, name: str) -> None:
    proto = onnx.load_from_string(quantize(network, random_feeds(network), PRESETS[name]))
    onnx.checker.check_model(proto, full_check=True)
    before = onnx.load_from_string(network).graph
    assert list(proto.graph.input) == list(before.input)
    assert list(proto.graph.output) == list(before.output)
    kinds, kinds_before = (Counter(n.op_type for n in graph.node) for graph in (proto.graph, before))
    assert {k: kinds[k] for k in kinds_before} == dict(kinds_before)
    assert set(kinds) - set(kinds_before) == {"QuantizeLinear", "DequantizeLinear"}


def _given_by(proto: ModelProto, name: str) -> str:
    return next((node.op_type for node in proto.graph.node if name in node.output), "")


@pytest.mark.parametrize("name", PRESETS)
def test_every_layer_of_the_preset_computes_in_int8(network: bytes, name: str) -> None:
    preset = PRESETS[name]
    proto = onnx.load_from_string(quantize(network, random_feeds(network), preset))
    for node in proto.graph.node:
        if node.op_type in preset.ops:
            inputs = node.input if preset.bias else node.input[:2]
            assert {_given_by(proto, entry) for entry in inputs} == {"DequantizeLinear"}, node.name


def test_a_clamp_needs_no_pair_before_it(network: bytes) -> None:
    """ONNX Runtime drops a Clip or Relu behind a convolution and before a pair; a pair between them would stop it."""
    proto = onnx.load_from_string(quantize(network, random_feeds(network), ONNXRUNTIME))
    clamps = [node for node in proto.graph.node if node.op_type in ("Clip", "Relu")]
    assert clamps
    assert {_given_by(proto, node.input[0]) for node in clamps} == {"Conv"}


def test_onnxruntime_leaves_no_float_convolution(network: bytes, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(quantize(network, random_feeds(network), ONNXRUNTIME), options)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    before = Counter(node.op_type for node in onnx.load_from_string(network).graph.node)
    assert kinds["QLinearConv"] == before["Conv"]
    assert kinds["QGemm"] == before["Gemm"]
    assert kinds["Conv"] == kinds["FusedConv"] == kinds["Gemm"] == 0


@settings(deadline=None, max_examples=40)
@given(
    low=st.floats(-100, 0), high=st.floats(0, 100), signed=st.booleans(), weight=st.floats(-1e-6, 1e-6),
    bias=st.floats(-1e3, 1e3),
)  # fmt: skip
@example(low=-1.401298464324817e-45, high=0.0, signed=False, weight=0.0, bias=1.0)
@example(low=-1e-30, high=1e-30, signed=True, weight=1e-40, bias=0.0)
def test_values_in_range_are_off_by_half_a_step_at_most(
    low: float, high: float, signed: bool, weight: float, bias: float
) -> None:
    """The input's pair alone: a dot product with 1. And any bias survives, however small the weights beside it."""
    layer = nn.Conv2d(1, 2, 1)
    layer.weight.data = torch.tensor([1.0, weight]).reshape(2, 1, 1, 1)
    layer.bias.data = torch.tensor([0.0, bias])
    image = np.linspace(low, high, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    result = run(quantize(onnx_of(layer, (1, 4, 4)), [[image]], Preset(("Conv",), signed=signed)), image)
    step = max(-low, high) / 127 if signed else (high - low) / 255
    assert np.abs(result[0, 0] - image[0, 0]).max() <= step / 2 + 1e-4 * max(-low, high) + 1e-6
    assert np.abs(result[0, 1] - bias).max() <= 1e-3 * abs(bias) + 1e-3


@pytest.mark.parametrize("name", PRESETS)
def test_a_large_bias_beside_tiny_weights_survives_a_default_session(name: str) -> None:
    """ONNX Runtime makes int32 of float biases too, in steps of both scales' product: 1 / 1e-12 of them overflow."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        layers[0].weight[:] = 1e-10  # type: ignore[operator, index]
        layers[0].bias[:] = 1.0  # type: ignore[operator, index]
    model = onnx_of(layers, (2, 4, 4))
    images = random_feeds(model)
    quantized = quantize(model, images, PRESETS[name])
    exact, found = (OnnxRuntime().load(m, threads=1, precision="fp32").run(images[0])[0] for m in (model, quantized))
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_needs_images(network: bytes) -> None:
    with pytest.raises(ModelError, match="nothing to calibrate with"):
        quantize(network, [], OPENVINO)
    with pytest.raises(ModelError, match="calibrate"):
        quantize(network, [[np.zeros((1, 3, 8, 8, 8), np.float32)]], OPENVINO)


@pytest.mark.parametrize("name", PRESETS)
def test_of_weights_that_layers_share_each_has_its_own(network: bytes, name: str) -> None:
    shared = onnx.load_from_string(network)
    convolutions = [node for node in shared.graph.node if node.op_type == "Conv"]
    shapes = {w.name: tuple(w.dims) for w in shared.graph.initializer}
    twins = [(a, b) for a in convolutions for b in convolutions if a.input[1] < b.input[1]]
    first, second = next((a, b) for a, b in twins if shapes[a.input[1]] == shapes[b.input[1]])
    second.input[1:] = first.input[1:]
    model = shared.SerializeToString()
    (images,) = random_feeds(model, 1)
    quantized = quantize(model, [images], PRESETS[name])
    expected = run(model, images[0])
    assert np.linalg.norm(run(quantized, images[0]) - expected) < 0.15 * np.linalg.norm(expected)


def _nameless(model: bytes) -> bytes:
    proto = onnx.load_from_string(model)
    for node in proto.graph.node:
        node.name = ""
    return proto.SerializeToString()


@pytest.mark.parametrize("name", PRESETS)
def test_nodes_need_no_names(network: bytes, name: str) -> None:
    """Three layers share a bias, as in what PyTorch's exporter writes of equal ones."""
    shared = onnx.load_from_string(network)
    sizes = {w.name: tuple(w.dims) for w in shared.graph.initializer}
    layers = [node for node in shared.graph.node if node.op_type == "Conv" and len(node.input) == 3]
    first, *others = [node for node in layers if sizes[node.input[2]] == sizes[layers[0].input[2]]]
    assert len(others) > 1
    for node in others:
        node.input[2] = first.input[2]
    model = shared.SerializeToString()
    (images,) = random_feeds(model, 1)
    named, nameless = (quantize(each, [images], PRESETS[name]) for each in (model, _nameless(model)))
    np.testing.assert_array_equal(run(nameless, images[0]), run(named, images[0]))


def test_a_layer_that_int8_has_no_scales_for_stays_float_without_a_name() -> None:
    entry, result = (onnx.helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, (1, 4)) for each in "xz")
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w"], ["y"]),
        onnx.helper.make_node("Gemm", ["y", "w"], ["z"], alpha=2.0),
    ]
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "g", [entry], [result], [weight])
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    quantized = onnx.load_from_string(quantize(model, random_feeds(model), OPENVINO))
    first, second = (node for node in quantized.graph.node if node.op_type == "Gemm")
    assert _given_by(quantized, first.input[1]) == "DequantizeLinear"
    assert second.input[1] == "w"


@pytest.mark.parametrize("name", PRESETS)
def test_each_result_of_a_node_has_its_own_pair(name: str) -> None:
    """As a Split's, of which a convolution each reads one, and the graph gives another."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, (4, 4, 1, 1)).astype(np.float32) for _ in range(2)]
    nodes = [
        helper.make_node("Split", ["images", "sizes"], ["one", "other", "given"], axis=1),
        helper.make_node("Conv", ["one", "w0"], ["a"]),
        helper.make_node("Conv", ["other", "w1"], ["b"]),
        helper.make_node("Conv", ["given", "w1"], ["c"]),
    ]
    floats = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 5, 5]) for n in ("a", "b", "c", "given")]
    constants = [numpy_helper.from_array(np.array([4, 4, 4]), "sizes")]
    constants += [numpy_helper.from_array(weight, f"w{at}") for at, weight in enumerate(weights)]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 12, 5, 5])
    graph = helper.make_graph(nodes, "split", [images], floats, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feed = rng.normal(size=(1, 12, 5, 5)).astype(np.float32)
    quantized = quantize(model, [(feed,)], PRESETS[name])
    sessions = [OnnxRuntime().load(each, threads=1, precision="fp32") for each in (model, quantized)]
    for exact, near in zip(*(session.run([feed]) for session in sessions), strict=True):
        assert np.abs(exact - near).max() < 0.05 * np.abs(exact).max()
