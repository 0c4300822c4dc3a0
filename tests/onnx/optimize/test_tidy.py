"""Constants, idle nodes, unread nodes: what is left computes the same."""

from __future__ import annotations

import io

import numpy as np
import torch
from onnx import load_from_string, numpy_helper
from torch import nn

from hwnas.onnx.optimize.tidy import fold_constants, leave_out_unread, pass_idle
from tests.onnx.optimize.graphs import check, images, model_of

X = images(2, 3, 4, 5)


class _Shapes(nn.Module):
    """Shape arithmetic, as PyTorch code is full of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        shuffled = x.view(batch, channels // 3, 3, height, width).transpose(1, 2).reshape(batch, -1, height, width)
        return shuffled.view(batch, -1) * torch.arange(channels * height * width).float().sqrt()


def test_arithmetic_of_fixed_shapes_is_done() -> None:
    data = io.BytesIO()
    torch.onnx.export(
        _Shapes(), (torch.from_numpy(X),), data, dynamo=False, opset_version=17, do_constant_folding=False
    )
    found = check(fold_constants, load_from_string(data.getvalue()), X)
    assert set(found) <= {"Reshape", "Transpose", "Mul"}


class _Same(nn.Module):
    """Padding computed from shapes, one after the other: each shape is known once the one before it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stride in (2, 2):
            right = (stride - x.size(3) % stride) % stride
            x = nn.functional.max_pool2d(nn.functional.pad(x, (0, right, 0, 1)), 2, stride)
        return x


def test_a_computed_shape_may_fix_the_next() -> None:
    data = io.BytesIO()
    x = images(1, 3, 9, 11)
    torch.onnx.export(torch.jit.script(_Same()), (torch.from_numpy(x),), data, dynamo=False, opset_version=17)
    folded = fold_constants(load_from_string(data.getvalue()))
    assert folded
    assert check(fold_constants, load_from_string(data.getvalue()), x)["Shape"] == 0


def test_a_size_that_is_left_open_is_not_computed() -> None:
    parts = [("Shape", ["x"], "s", {}), ("Cast", ["s"], "f", {"to": 1}), ("ReduceSum", ["f"], "y", {})]
    assert fold_constants(model_of(parts, {}, ["batch", 3, 4, 5])) is None
    assert fold_constants(model_of(parts, {}, [2, 3, 4, 5])) is not None


def test_slices_of_a_shape() -> None:
    parts = [
        ("Shape", ["x"], "s", {"start": 1, "end": -1}),
        ("Cast", ["s"], "f", {"to": 1}),
        ("Mul", ["x", "n"], "m", {}),
    ]
    parts += [("ReduceSum", ["f"], "n", {})]
    parts = [parts[0], parts[1], parts[3], parts[2], ("Identity", ["m"], "y", {})]
    assert check(fold_constants, model_of(parts, {}, X.shape), X) == {"Mul": 1, "Identity": 1}


def test_random_numbers_and_quantized_weights_stay() -> None:
    noise = [("RandomNormalLike", ["k"], "n", {}), ("Add", ["x", "n"], "y", {})]
    assert fold_constants(model_of(noise, {"k": np.ones((1,), np.float32)}, X.shape)) is None
    scaled = [("DequantizeLinear", ["q", "s"], "k", {}), ("Add", ["x", "k"], "y", {})]
    assert fold_constants(model_of(scaled, {"q": np.array(3, np.int8), "s": np.float32(0.5)}, X.shape)) is None


def test_nodes_that_change_nothing_go() -> None:
    parts = [
        ("Identity", ["x"], "a", {}), ("Dropout", ["a"], "b", {}), ("Cast", ["b"], "c", {"to": 1}),
        ("Transpose", ["c"], "d", {"perm": [0, 1, 2, 3]}), ("Reshape", ["d", "shape"], "e", {}),
        ("Concat", ["e"], "f", {"axis": 1}), ("Relu", ["f"], "g", {}), ("Identity", ["g"], "y", {}),
    ]  # fmt: skip
    model = model_of(parts, {"shape": np.array(X.shape, np.int64)}, X.shape)
    assert check(pass_idle, model, X) == {"Relu": 1}


def test_nodes_that_change_something_stay() -> None:
    parts = [
        ("Dropout", ["x", "", "training"], "a", {}), ("Cast", ["a"], "b", {"to": 10}), ("Cast", ["b"], "c", {"to": 1}),
        ("Transpose", ["c"], "d", {}), ("Reshape", ["d", "shape"], "y", {}),
    ]  # fmt: skip
    constants = {"shape": np.array(X.shape, np.int64), "training": np.array(True)}
    assert pass_idle(model_of(parts, constants, X.shape)) is None


def test_an_input_that_is_an_output_keeps_its_identity() -> None:
    assert pass_idle(model_of([("Identity", ["x"], "y", {})], {}, X.shape)) is None


def test_what_nothing_reads_goes() -> None:
    parts = [("Relu", ["x"], "y", {}), ("Exp", ["x"], "dead", {}), ("Add", ["dead", "k"], "deader", {})]
    model = model_of(parts, {"k": np.float32(1), "unread": np.ones(7, np.float32)}, X.shape)
    assert check(leave_out_unread, model, X) == {"Relu": 1}
    found = leave_out_unread(model)
    assert found
    assert not found.model.graph.initializer
    assert set(found.places) == {"Exp dead", "Add deader", "k", "unread"}


def test_a_constant_is_the_number_it_was() -> None:
    parts = [("Constant", [], "k", {"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0]}), ("Add", ["x", "k"], "y", {})]
    found = fold_constants(model_of(parts, {}, X.shape))
    assert found
    assert numpy_helper.to_array(found.model.graph.initializer[0]).tolist() == [1, 2, 3, 4, 5]
