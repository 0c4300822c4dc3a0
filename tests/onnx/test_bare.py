"""Models without their weights: the same shapes, in a few kilobytes."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from hwnas.graph.kernel import Value
from hwnas.nn.exported import exported
from hwnas.onnx.bare import large_weights, with_repeating_weights, with_stand_ins, without_weights
from hwnas.onnx.kernels import values_of
from hwnas.onnx.model import model_of
from hwnas.onnx.observe import node_by_node
from hwnas.onnx.stand_in import stand_in

NETS = {
    "convolutions": (nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 64, 3)), (1, 3, 16, 16)),
    "encoder": (nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (2, 9, 64)),
    "recurrent": (nn.LSTM(40, 30, bidirectional=True), (7, 2, 40)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_same_shapes(name: str) -> None:
    net, shape = NETS[name]
    model = model_of(exported(net, {"x": torch.zeros(shape)}, name), name)
    before = model.proto.SerializeToString()
    assert len(with_stand_ins(model.proto).SerializeToString()) < len(before) / 3
    onnx.checker.check_model(with_stand_ins(model.proto))
    (expected,) = node_by_node(model.proto, [{port.name: stand_in(port) for port in model.inputs}])
    found = values_of(model.proto)
    for value, array in expected.items():
        assert found[value] == Value(dtype=array.dtype.name, shape=array.shape)
    assert model.proto.SerializeToString() == before
    names = {weight.name for weight in large_weights(model.proto)}
    left = {weight.name for weight in without_weights(model.proto, names).graph.initializer}
    assert names
    assert left == {weight.name for weight in model.proto.graph.initializer} - names


RNG = np.random.default_rng(1)
WEIGHTS: dict[str, npt.NDArray[Any]] = {
    "convolution": RNG.standard_normal((64, 32, 3, 3)).astype(np.float32) * 0.02 + 0.1,
    "half": RNG.standard_normal((300, 300)).astype(np.float16),
    "quantized": RNG.integers(-90, 90, (300, 300)).astype(np.int8),
    "unsigned": RNG.integers(0, 255, (300, 300)).astype(np.uint8),
}
KEPT: dict[str, npt.NDArray[Any]] = {
    "variance": RNG.random(9000).astype(np.float32),
    "indices": RNG.integers(0, 9, (100, 100)),
    "mask": np.triu(np.full((100, 100), np.finfo(np.float32).min)),
    "small": RNG.standard_normal((3, 4)).astype(np.float32),
}


def test_weights_that_pack_keep_their_size_and_spread() -> None:
    every = WEIGHTS | KEPT
    constants = [numpy_helper.from_array(array, name) for name, array in every.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_given"]) for name in every]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], constants)).SerializeToString()
    packable = with_repeating_weights(model)
    made = {each.name: numpy_helper.to_array(each) for each in onnx.load_from_string(packable).graph.initializer}
    for name, array in every.items():
        assert (made[name].dtype, made[name].shape) == (array.dtype, array.shape)
    for name, array in KEPT.items():
        assert np.array_equal(made[name], array)
    for name, array in WEIGHTS.items():
        own, other = array.astype(float), made[name].astype(float)
        assert abs(other.mean() - own.mean()) < 0.1 * own.std()
        assert other.std() == pytest.approx(own.std(), rel=0.15)  # of whole numbers in 8 bits some are clipped
        assert len(zlib.compress(made[name].tobytes())) < 0.3 * array.nbytes
    assert onnx.load_from_string(packable).graph.node == onnx.load_from_string(model).graph.node
