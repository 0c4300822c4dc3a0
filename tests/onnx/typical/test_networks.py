"""Typical networks: the same by seed, sound, as their sketches say they are, and run by ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorShapeProto, helper

from hwnas.errors import ConfigError
from hwnas.onnx.bare import large_weights, without_weights
from hwnas.onnx.typical.networks import networks_of_a_round, typical_network
from hwnas.onnx.typical.sketch import ACTS, Sketch, Tensor


def test_the_same_number_and_seed_give_the_same_network() -> None:
    for number in (6, 13):
        one, again, other = (typical_network(number, seed) for seed in (3, 3, 4))
        assert one == again
        assert one.name == other.name
        assert one.data != other.data
    assert typical_network(6).name != typical_network(6 + networks_of_a_round()).name


@pytest.mark.parametrize("number", range(networks_of_a_round()))
def test_each_is_sound_gives_what_its_sketch_says_and_runs(number: int) -> None:
    """ONNX's own inference, which doesn't see what the sketch thought of shapes, agrees with it; so does a runtime."""
    model = typical_network(number)
    proto = onnx.load_from_string(model.data)
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.shape.dim.extend(TensorShapeProto.Dimension() for _ in range(2))
    onnx.checker.check_model(proto)
    bare = without_weights(proto, {weight.name for weight in large_weights(proto)})
    for weight in large_weights(proto):
        bare.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True).graph.output[0]
    assert tuple(dim.dim_value for dim in inferred.type.tensor_type.shape.dim) == model.outputs[0].shape
    session = ort.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal(model.inputs[0].shape, np.float32)
    (scores,) = session.run(None, {model.inputs[0].name: images})
    assert scores.shape == model.outputs[0].shape
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("spelled hswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("hswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("swish", lambda x: x / (1 + np.exp(-x))),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("prelu", lambda x: np.where(x > 0, x, x / 4)),
    ],
)
def test_activations_are_what_they_are_called(act: str, expected: object) -> None:
    sketch = Sketch(4)
    x = np.linspace(-8, 8, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    session = ort.InferenceSession(sketch.model(sketch.act(sketch.images, act)), providers=["CPUExecutionProvider"])
    assert callable(expected)
    np.testing.assert_allclose(session.run(None, {"images": x})[0], expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("act", ACTS)
def test_every_activation_is_there(act: str) -> None:
    sketch = Sketch(4)
    ort.InferenceSession(sketch.model(sketch.act(sketch.images, act)), providers=["CPUExecutionProvider"])


def test_layer_norm_of_an_image_is_that_of_its_channels() -> None:
    sketch = Sketch(5)
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 5), np.float32)
    session = ort.InferenceSession(sketch.model(sketch.layer_normed(sketch.images)), providers=["CPUExecutionProvider"])
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(session.run(None, {"images": x})[0], expected, rtol=1e-4, atol=1e-4)


def test_a_channel_shuffle_takes_groups_in_turn() -> None:
    sketch = Sketch(1)
    six = sketch.conv(sketch.images, 6)
    order = sketch.shuffle(six, 2)
    session = ort.InferenceSession(sketch.model(sketch.concat([six, order])), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": np.ones((1, 3, 1, 1), np.float32)})
    straight, shuffled = found[0, :6, 0, 0], found[0, 6:, 0, 0]
    np.testing.assert_array_equal(shuffled, straight[[0, 3, 1, 4, 2, 5]])


def test_groups_that_do_not_go_into_channels_are_refused() -> None:
    sketch = Sketch(8)
    with pytest.raises(ConfigError, match="2 groups of 3"):
        sketch.conv(sketch.images, 4, groups=2)
    assert sketch.images == Tensor("images", (1, 3, 8, 8))
