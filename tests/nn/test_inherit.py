"""Derived networks compute what the supernet's path does, with every stabilizer folded or kept as said."""

from __future__ import annotations

import copy
import hashlib

import pytest
import torch
from torch import nn

from hwnas.graph.count import count
from hwnas.nn.fold import fold_after, fold_before
from hwnas.nn.inherit import inherit
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.model import ModelInfo
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.nn.weights import lived_in


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max().detach() / b.abs().max().detach())


@pytest.mark.parametrize("name", ["small", "scarlet-s2", "scarlet-tiny", "macro", "vit-tiny"])
def test_derived_equals_the_path(name: str, small_space: ChainSpace) -> None:
    space = small_space if name == "small" else get_space(name, 32)
    supernet = lived_in(Supernet(space.inheriting())).double()  # so that only the algebra is tested, not rounding
    x = torch.randn(2, 3, space.resolution, space.resolution, dtype=torch.float64)
    archs = space.sample(25, seed=0)
    archs[5:] = [[c - 1 if i % 3 else 0 for i, c in enumerate(space.num_choices)]]  # runs of skips where allowed
    archs[15:] = space.num_choices - 1
    archs[20:, ::2] = 0
    for arch in archs[[0, 1, 2, 3, 4, 5, 15, 20]]:
        network = inherit(supernet, arch).eval()
        assert relative_error(network(x), supernet(x, arch)) < 1e-10
        assert count(network.graph).params == sum(p.numel() for p in network.parameters())


def test_each_case_of_folding_happens_and_is_said(small_space: ChainSpace) -> None:
    """Layer 0 has a residual; layer 2 strides; layers 1, 3, 4, 5 keep their shape."""
    supernet = lived_in(Supernet(small_space.inheriting()))
    x = torch.randn(2, 3, 16, 16)
    cases = {
        (4, 0, 0, 0, 0, 0): {0: "folded into stem"},
        (0, 4, 0, 0, 0, 0): {1: "folded into layers.2"},
        (0, 0, 0, 4, 0, 0): {3: "folded into layers.2"},
        (0, 0, 0, 0, 4, 0): {4: "kept as layers.4: a residual on both sides"},
        (0, 0, 0, 0, 4, 4): {4: "folded into head"},
        (0, 0, 0, 4, 4, 0): {3: "folded into layers.2"},
        (4, 4, 0, 4, 4, 4): {0: "folded into layers.2", 3: "folded into head"},
        (0, 0, 0, 0, 0, 0): {},
    }
    for arch, notes in cases.items():
        network = inherit(supernet, arch).eval()
        assert {each.layer: str(each) for each in network.stabilizers} == notes
        kept = [node for node in network.graph if node.op.skips]
        assert len(kept) == sum("kept" in note for note in notes.values())
        assert relative_error(network(x), supernet(x, arch)) < 2e-5


def test_deriving_leaves_the_supernet_alone(small_space: ChainSpace) -> None:
    supernet = lived_in(Supernet(small_space.inheriting()))
    before = copy.deepcopy(supernet.state_dict())
    network = inherit(supernet, [0, 4, 0, 4, 4, 0])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())


def test_without_stabilizers_nothing_is_folded(small_space: ChainSpace) -> None:
    supernet = lived_in(Supernet(small_space))
    arch = [0, 4, 0, 0, 4, 0]
    network = inherit(supernet, arch).eval()
    x = torch.randn(1, 3, 16, 16)
    assert network.stabilizers == ()
    assert torch.equal(network(x), supernet(x, arch))


def test_fold_before_is_exact_in_training_too() -> None:
    stabilizer, conv = nn.Conv2d(6, 6, 1, bias=False), nn.Conv2d(6, 10, 1, bias=False)
    nn.init.normal_(stabilizer.weight)
    bn = nn.BatchNorm2d(10).train()
    x = torch.randn(8, 6, 5, 5)
    expected = bn(conv(stabilizer(x)))
    fold_before(stabilizer.weight[:, :, 0, 0].detach().double(), conv)
    assert torch.allclose(bn(conv(x)), expected, atol=1e-5)


def test_fold_after_is_exact_in_eval_and_near_in_training() -> None:
    torch.manual_seed(0)
    stabilizer, conv = nn.Conv2d(6, 6, 1, bias=False), nn.Conv2d(10, 6, 1, bias=False)
    bn = nn.BatchNorm2d(6, momentum=None)
    with torch.no_grad():
        nn.init.dirac_(stabilizer.weight)
        stabilizer.weight += 0.1 * torch.randn(6, 6, 1, 1)
        nn.init.orthogonal_(conv.weight)
        bn.weight.uniform_(0.5, 2)
        bn.bias.normal_()
    x = torch.randn(512, 10, 3, 3)
    bn.train()(conv(x))  # statistics of x
    expected = stabilizer(bn.eval()(conv(x)))
    fold_after(stabilizer.weight[:, :, 0, 0].detach().double(), conv, bn)
    assert torch.allclose(bn.eval()(conv(x)), expected, atol=1e-4)
    assert relative_error(bn.train()(conv(x)), expected) < 0.1


def test_model_folder_round_trip(small_space: ChainSpace, tmp_path_factory: pytest.TempPathFactory) -> None:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [0, 0, 0, 0, 4, 0]).eval()
    folder = tmp_path_factory.mktemp("models") / "model"
    info = ModelInfo(data="digits", labels=("a", "b"), accuracy={"test": 0.5}, made_from={"supernet": "abc"})
    network.info = info
    save_model(network, folder)
    loaded = load_model(folder)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(loaded(x), network(x))
    weights_sha256 = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert loaded.info == info.model_copy(update={"weights_sha256": weights_sha256})
    assert loaded.stabilizers == network.stabilizers
    assert not loaded.training


def test_networks_of_one_seed_are_equal(small_space: ChainSpace) -> None:
    a, b = Network(small_space, [0] * 6, seed=4), Network(small_space, [0] * 6, seed=4)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
