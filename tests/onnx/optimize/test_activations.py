"""Any spelling of h-swish and h-sigmoid is found, and nothing that isn't one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, load_from_string
from torch import nn
from torch.nn import functional

from hwnas.onnx.optimize.activations import hard_sigmoid, hard_swish, one_clamp
from hwnas.onnx.optimize.tidy import fold_constants
from tests.onnx.optimize.graphs import Parts, check, images, kinds, model_of

X = images(2, 3, 4, 5)
NUMBERS = {name: np.float32(value) for name, value in (("0", 0), ("1", 1), ("3", 3), ("6", 6), ("sixth", 1 / 6))}
NUMBERS |= {"-3": np.float32(-3), "half": np.float32(0.5), "2": np.float32(2)}

_RELU6 = [
    [("Clip", ["s", "0", "6"], "c", {})],
    [("Relu", ["s"], "r", {}), ("Clip", ["r", "0", "6"], "c", {})],
    [("Relu", ["s"], "r", {}), ("Min", ["r", "6"], "c", {})],
    [("Max", ["0", "s"], "r", {}), ("Min", ["6", "r"], "c", {})],
]
_PLUS3 = [[("Add", ["x", "3"], "s", {})], [("Add", ["3", "x"], "s", {})], [("Sub", ["x", "-3"], "s", {})]]
_SWISH: list[list[tuple[str, list[str], str, dict[str, float]]]] = [
    [("Mul", ["x", "c"], "m", {}), ("Div", ["m", "6"], "y", {})],
    [("Mul", ["c", "x"], "m", {}), ("Mul", ["sixth", "m"], "y", {})],
    [("Div", ["c", "6"], "g", {}), ("Mul", ["x", "g"], "y", {})],
    [("Mul", ["c", "sixth"], "g", {}), ("Mul", ["g", "x"], "y", {})],
    [("Div", ["x", "6"], "z", {}), ("Mul", ["z", "c"], "y", {})],
]


def spelled(*parts: Parts) -> ModelProto:
    nodes = [node for each in parts for node in each]
    read = {name for _, inputs, _, _ in nodes for name in inputs}
    return model_of(nodes, {name: value for name, value in NUMBERS.items() if name in read}, X.shape)


@pytest.mark.parametrize("plus", _PLUS3)
@pytest.mark.parametrize("relu6", _RELU6)
@pytest.mark.parametrize("product", _SWISH)
def test_every_spelling_of_hard_swish(plus: Parts, relu6: Parts, product: Parts) -> None:
    assert check(hard_swish, spelled(plus, relu6, product), X) == {"HardSwish": 1}


@pytest.mark.parametrize("plus", _PLUS3)
@pytest.mark.parametrize("relu6", _RELU6)
@pytest.mark.parametrize("sixth", [("Div", ["c", "6"], "y", {}), ("Mul", ["sixth", "c"], "y", {})])
def test_every_spelling_of_hard_sigmoid(plus: Parts, relu6: Parts, sixth: Parts[0]) -> None:  # type: ignore[valid-type]
    assert check(hard_sigmoid, spelled(plus, relu6, [sixth]), X) == {"HardSigmoid": 1}


def test_from_hard_sigmoid_and_from_a_clamped_line() -> None:
    product = ("Mul", ["x", "g"], "y", {})
    gate = ("HardSigmoid", ["x"], "g", {"alpha": 1 / 6, "beta": 0.5})
    assert check(hard_swish, spelled([gate, product]), X) == {"HardSwish": 1}
    line: Parts = [
        ("Mul", ["x", "sixth"], "a", {}),
        ("Add", ["a", "half"], "b", {}),
        ("Clip", ["b", "0", "1"], "g", {}),
    ]
    assert check(hard_swish, spelled(line, [product]), X) == {"HardSwish": 1}
    assert check(hard_sigmoid, spelled(line, [product]), X) == {"HardSigmoid": 1, "Mul": 1}


def test_what_is_also_read_elsewhere_stays() -> None:
    swish = [*_PLUS3[0], *_RELU6[0], ("Mul", ["x", "c"], "m", {}), ("Div", ["m", "6"], "h", {})]
    model = spelled(swish, [("Add", ["h", "c"], "y", {})])
    assert check(hard_swish, model, X) == {"HardSwish": 1, "Add": 2, "Clip": 1}


@pytest.mark.parametrize(
    "parts",
    [
        [*_PLUS3[0], *_RELU6[0], ("Mul", ["x", "c"], "y", {})],  # six times too large
        [("Add", ["x", "2"], "s", {}), *_RELU6[0], *_SWISH[0]],
        [*_PLUS3[0], ("Clip", ["s", "1", "6"], "c", {}), *_SWISH[0]],
        [*_PLUS3[0], *_RELU6[0], ("Mul", ["s", "c"], "m", {}), ("Div", ["m", "6"], "y", {})],  # (x+3), not x
        [*_PLUS3[0], *_RELU6[0], ("Mul", ["x", "c"], "m", {}), ("Div", ["6", "m"], "y", {})],
    ],
)
def test_what_is_only_like_it_stays(parts: Parts) -> None:
    assert hard_swish(spelled(parts)) is None


def test_older_opsets_have_no_hard_swish() -> None:
    parts: Parts = [("HardSigmoid", ["x"], "g", {"alpha": 1 / 6, "beta": 0.5}), ("Mul", ["x", "g"], "y", {})]
    assert hard_swish(model_of(parts, {}, X.shape, opset=13)) is None


_STEPS = st.one_of(
    st.tuples(st.sampled_from(["Add", "Sub", "Min", "Max"]), st.sampled_from([-3.0, -0.5, 0.0, 1.0, 3.0, 6.0])),
    st.tuples(st.sampled_from(["Mul", "Div"]), st.sampled_from([0.5, 1.0, 2.0, 6.0])),
    st.just(("Relu", 0.0)),
    st.just(("HardSigmoid", 0.0)),
)


@settings(deadline=None)
@given(steps=st.lists(_STEPS, min_size=2, max_size=6), factor=st.sampled_from(["none", "x", "middle"]))
def test_any_chain_keeps_its_function(steps: list[tuple[str, float]], factor: str) -> None:
    parts, constants, last = [], {}, "x"
    for number, (kind, value) in enumerate(steps):
        given = f"v{number}"
        inputs = [last]
        if kind not in ("Relu", "HardSigmoid"):
            constants[f"k{number}"] = np.float32(value)
            inputs.append(f"k{number}")
        parts.append((kind, inputs, given, {}))
        last = given
    parts.append(("Mul", [{"none": last, "x": "x", "middle": "v0"}[factor], last], "y", {}))
    model = model_of(parts, constants, X.shape)
    for rewrite in (hard_swish, hard_sigmoid, one_clamp):
        if rewrite(model) is not None:
            check(rewrite, model, X, X / 8)


def test_relu_in_front_of_clip_is_one_clip() -> None:
    model = spelled([("Relu", ["x"], "s", {}), ("Clip", ["s", "0", "6"], "y", {})])
    assert check(one_clamp, model, X) == {"Clip": 1}
    assert one_clamp(spelled([("Relu", ["x"], "s", {}), ("Relu", ["s"], "y", {})])) is None


class _Written(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        swish = x * functional.relu6(x + 3) / 6
        return swish * (functional.relu6(swish + 3.0, inplace=True) / 6.0) + functional.hardsigmoid(x)


def test_as_torchs_exporter_writes_them() -> None:
    data = io.BytesIO()
    torch.onnx.export(_Written(), (torch.from_numpy(X),), data, dynamo=False, opset_version=17)
    folded = fold_constants(load_from_string(data.getvalue()))
    assert folded
    model = folded.model
    swished = hard_swish(model)
    assert swished
    assert kinds(swished.model)["HardSwish"] == 2
    assert check(hard_swish, model, X)["Div"] == 0
