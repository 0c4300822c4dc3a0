"""What is seen of a network in PyTorch is what its modules compute, under the names of its ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.nn.observe import observe_network
from hwnas.onnx.observe import observe
from hwnas.onnx.write import to_onnx
from hwnas.space.registry import get_space

ARCHS = {"scarlet-tiny": [0, 3, 1, 2, 4, 1, 5, 6], "vit-tiny": None}


@pytest.mark.parametrize("name", ARCHS)
def test_every_value(name: str) -> None:
    space = get_space(name, 32)
    network = Network(space, ARCHS[name] or space.sample(1, seed=0)[0].tolist())
    network.train()
    for norm in (each for each in network.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -1, 1, torch.Generator().manual_seed(0))
    shape = (2, *network.graph.in_shapes[0])
    batches = [np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in range(2)]
    state = torch.get_rng_state()
    found = observe_network(network, batches)
    assert torch.equal(state, torch.get_rng_state())
    assert network.training
    network.eval()
    with torch.no_grad():
        for run, images in enumerate(batches):
            np.testing.assert_array_equal(found[-1].array[run], network(torch.from_numpy(images)).numpy())
    seen = {value.name: value.array for value in found}
    proto = onnx.load_from_string(to_onnx(network.graph, weights_of(network)))
    written = observe(proto, [{"images": images} for images in batches])
    named = [value for value in written if value.name in seen and value.op != "Conv"]  # those have BN folded in
    assert len(named) > len(written) / 3
    for value in named:
        np.testing.assert_allclose(value.array, seen[value.name], rtol=1e-3, atol=1e-4)
