"""Ranges for int8: the extremes exactly, and the least square error against trying every range."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.arrays import Images
from hwnas.errors import ModelError
from hwnas.onnx.precision.ranges import calibrate
from tests.onnx_models import onnx_of


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return onnx.load_from_string(onnx_of(nn.Conv2d(1, 1, 1), (1, 64, 64)))


def square_error(values: Images, low: float, high: float, signed: bool) -> float:
    """By the definition of QuantizeLinear."""
    least, most = (-127, 127) if signed else (0, 255)
    scale = max(-low, high) / 127 if signed else (high - low) / 255
    zero = 0 if signed else round(-low / scale)
    integers = np.clip(np.round(values / scale) + zero, least, most)
    return float(np.square((integers - zero) * scale - values).mean())


def test_minmax_holds_every_value_and_zero(proto: onnx.ModelProto) -> None:
    images = [np.full((1, 1, 64, 64), 3, np.float32), np.full((2, 1, 64, 64), 5, np.float32)]
    images[1][1, 0, 7, 9] = 11
    assert calibrate(proto, ["images"], [[image] for image in images], "minmax", signed=False) == {
        "images": (0.0, 11.0)
    }
    below = [[-image] for image in images]
    assert calibrate(proto, ["images"], below, "minmax", signed=True) == {"images": (-11.0, 0.0)}


@pytest.mark.parametrize("signed", [False, True])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), tail=st.floats(1.5, 30), shift=st.floats(-1, 1))
def test_the_least_error_is_near_the_least_of_all_ranges(
    proto: onnx.ModelProto, signed: bool, seed: int, tail: float, shift: float
) -> None:
    """Values with heavy tails; every range on a fine grid is tried."""
    rng = np.random.default_rng(seed)
    values = (rng.standard_t(tail, (1, 1, 64, 64)) + shift).astype(np.float32)
    lowest, highest = min(0.0, float(values.min())), max(0.0, float(values.max()))
    low, high = calibrate(proto, ["images"], [[values]], "mse", signed=signed)["images"]
    if not signed:
        assert lowest <= low <= 0 <= high <= highest
    shares = np.linspace(0.05, 1, 20)
    if signed:
        most = max(-lowest, highest)
        errors = [square_error(values, -most * share, most * share, True) for share in shares]
    else:
        errors = [square_error(values, lowest * a, highest * b, False) for a in shares for b in shares if a or b]
    found = square_error(values, low, high, signed)
    assert found <= square_error(values, lowest, highest, signed) * 1.02
    assert found <= min(errors) * 1.3 + 1e-9


def test_a_tensor_of_zeros_has_a_range_of_nothing(proto: onnx.ModelProto) -> None:
    zeros = [[np.zeros((1, 1, 64, 64), np.float32)]]
    for rule in ("minmax", "mse"):
        assert calibrate(proto, ["images"], zeros, rule, signed=False) == {"images": (0.0, 0.0)}  # type: ignore[arg-type]


def test_what_isnt_finite_is_named(proto: onnx.ModelProto) -> None:
    image = np.full((1, 1, 64, 64), np.nan, np.float32)
    with pytest.raises(ModelError, match="images isn't finite"):
        calibrate(proto, ["images"], [[image]], "mse", signed=False)
    layer = nn.Conv2d(1, 1, 1)
    nn.init.constant_(layer.weight, 1e30)
    overflowing = onnx.load_from_string(onnx_of(nn.Sequential(layer, nn.ReLU(), nn.Conv2d(1, 1, 1)), (1, 4, 4)))
    with pytest.raises(ModelError, match="1 isn't finite"):
        calibrate(overflowing, ["1"], [[torch.full((1, 1, 4, 4), 1e30).numpy()]], "minmax", signed=False)
