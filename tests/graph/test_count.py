"""The counter: golden numbers of the released models, and fvcore as the oracle over random archs of every space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from hwnas.graph.count import cost, count
from hwnas.graph.graph import Op
from hwnas.graph.primitives import Primitive
from hwnas.nn.network import Network, traced_madds
from hwnas.space.arch import parse_arch
from hwnas.space.registry import SPACES, get_space
from tests.spaces import keeping

GOLDEN = {  # parameters, multiply-adds in millions as published and read off the released code
    "scarlet-a": (6_707_720, 365.3),
    "scarlet-b": (6_531_556, 326.9),
    "scarlet-c": (6_073_684, 280.1),
}


@pytest.mark.parametrize(("name", "params", "madds"), [(n, *v) for n, v in GOLDEN.items()])
def test_golden_numbers(name: str, params: int, madds: float) -> None:
    arch = parse_arch(name)
    counted = count(arch.space.graph(arch.choices))
    assert counted.params == params
    assert round(counted.madds / 1e6, 1) == madds


@pytest.mark.parametrize("name", SPACES.names())
def test_fvcore_agrees_on_random_archs(name: str) -> None:
    space = get_space(name, resolution=64)
    for seed, arch in enumerate(space.sample(4, seed=5)):
        network = Network(keeping(space, bool(seed % 2)), arch)
        counted = count(network.graph)
        assert counted.madds == traced_madds(network)
        assert counted.params == sum(p.numel() for p in network.parameters())


def test_fvcore_agrees_on_a_users_space(small_yaml: Path) -> None:
    space = get_space(str(small_yaml))
    for arch in space.sample(6, seed=1):
        network = Network(space.inheriting(), arch)
        assert count(network.graph).madds == traced_madds(network)


def test_without_expansion_there_is_no_expanding_convolution() -> None:
    fields = {"kind": "mbconv", "c_in": 8, "h_in": 4, "w_in": 4, "c_out": 8, "kernel": 3, "stride": 1, "se": False,
              "act": "relu"}  # fmt: skip
    counted = cost(Op.from_dict({**fields, "expansion": 1}))
    assert counted.madds == 16 * (8 * 9 + 8 * 8)
    assert counted.params == 8 * 9 + 2 * 8 + 8 * 8 + 2 * 8


def test_an_unknown_kind_is_never_zero() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strange(Primitive):
        kind: ClassVar[str] = "strange-in-test-count"

    with pytest.raises(TypeError, match="strange-in-test-count"):
        cost(Strange(shape=(1, 1, 1)))
