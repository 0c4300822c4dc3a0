"""The supernet: the path is an argument, weights come from a seed, nothing global is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.errors import ArchError
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.nn.weights import stabilizers_of


def test_forward_takes_archs_in_every_form(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting()).eval()
    x = torch.randn(2, 3, 16, 16)
    choices = small_space.sample(1, seed=0)[0]
    logits = supernet(x, choices)
    assert logits.shape == (2, 10)
    assert torch.equal(logits, supernet(x, Arch(small_space, tuple(choices.tolist()))))
    assert torch.equal(logits, supernet(x, choices.tolist()))


def test_no_state_between_calls(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting()).eval()
    x = torch.randn(1, 3, 16, 16)
    a, b = small_space.sample(2, seed=1)
    first = supernet(x, a)
    supernet(x, b)
    assert torch.equal(first, supernet(x, a))


def test_only_the_path_gets_gradients(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting())
    arch = [0, 4, 1, 4, 2, 3]
    supernet(torch.randn(4, 3, 16, 16), arch).sum().backward()
    for layer, choice in enumerate(arch):
        for index, block in enumerate(supernet.layers[layer]):  # type: ignore[arg-type]
            touched = [p.grad is not None for p in block.parameters()]
            assert all(touched) if index == choice else not any(touched)


def test_every_skip_has_a_stabilizer_which_starts_as_the_identity(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting())
    skips = stabilizers_of(supernet)
    assert len(skips) == 5
    for block in skips:
        assert isinstance(block, nn.Conv2d)
        x = torch.randn(1, block.in_channels, 3, 3)
        assert torch.allclose(block(x), x)
        assert block.bias is None


def test_without_stabilizers_skips_have_no_weights(small_space: ChainSpace) -> None:
    with_them, without = Supernet(small_space.inheriting()), Supernet(small_space)
    assert stabilizers_of(without) == []
    assert sum(isinstance(m, nn.Identity) for m in without.modules()) == 5
    x, arch = torch.randn(1, 3, 16, 16), [0, 4, 0, 4, 4, 4]
    assert torch.allclose(with_them.eval()(x, arch), without.eval()(x, arch))  # identity at the start


def test_seeds_decide_the_weights_and_the_global_generator_is_left_alone(small_space: ChainSpace) -> None:
    state = torch.get_rng_state()
    first, same, other = (
        Supernet(small_space.inheriting(), seed=1),
        Supernet(small_space.inheriting(), seed=1),
        Supernet(small_space.inheriting(), seed=2),
    )
    Network(small_space, [0] * 6)
    assert torch.equal(state, torch.get_rng_state())
    pairs = list(zip(first.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_wrong_archs(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting())
    with pytest.raises(ArchError, match="6 choices, got 5"):
        supernet(torch.zeros(1, 3, 16, 16), [0] * 5)
    with pytest.raises(ArchError, match="layer 2"):
        supernet(torch.zeros(1, 3, 16, 16), [0, 0, 4, 0, 0, 0])


def test_a_fresh_deep_network_neither_explodes_nor_vanishes() -> None:
    space = get_space("scarlet-s2", resolution=64)
    logits = Supernet(space.inheriting())(torch.randn(8, 3, 64, 64), [0] * 19)
    assert 1e-4 < logits.std().item() < 1e2
