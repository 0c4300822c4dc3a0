"""Models without their weights: the same shapes, in a few kilobytes."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from hwnas.graph.kernel import Value
from hwnas.nn.exported import exported
from hwnas.onnx.bare import large_weights, with_stand_ins, without_weights
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
