"""Lowered sums against the walk by hand, op by op, over shipped and random spaces; what isn't an arch is refused."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs
from hwnas.errors import ArchError
from hwnas.graph.graph import Op
from hwnas.ops.downsample import Downsample
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.prediction.costs import LayerSum
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import SPACES, get_space
from tests.spaces import keeping


def _random_costs(space: ChainSpace, seed: int) -> dict[Op, float]:
    values = np.random.default_rng(seed).uniform(0.01, 1, len(space.distinct_ops))
    return dict(zip(space.distinct_ops, values.tolist(), strict=True))


def _by_hand(space: ChainSpace, costs: dict[Op, float], archs: Archs, stabilizers: bool) -> list[float]:
    return [sum(costs[op] for op in keeping(space, stabilizers).graph(arch).ops) for arch in archs]


def _block(size: int, c_in: int, c_out: int, expansion: int) -> MBConv:
    return MBConv(
        c_in=c_in, h_in=size, w_in=size, c_out=c_out, kernel=3, stride=1, expansion=expansion, se=False, act="relu"
    )


def _skip(channels: int) -> Stabilizer:
    return Stabilizer(c_in=channels, h_in=4, w_in=4, c_out=channels)


def _space(layers: list[tuple[Op, ...]], c_out: int, separable: bool = True) -> ChainSpace:
    stem = Stem(c_in=3, h_in=8, w_in=8, c_out=4, width=4, stride=2, separable=separable, act="relu")
    head = Head(c_in=c_out, h_in=4, w_in=4, c_out=2, width=8, act="relu")
    return ChainSpace(name="made", source="made", stem=stem, layers=tuple(layers), head=head)


@st.composite
def _spaces(draw: st.DrawFn) -> ChainSpace:
    """1 to 9 layers of 1 to 5 choices: blocks with and without residual or expansion, downsamplings, skips anywhere."""
    layers: list[tuple[Op, ...]] = []
    channels = 4
    for _ in range(draw(st.integers(1, 9))):
        c_out = draw(st.sampled_from([4, 6]))
        shape = {"c_in": channels, "h_in": 4, "w_in": 4, "c_out": c_out}
        extra: list[Op] = [Stabilizer(**shape)] if c_out == channels else [Downsample(**shape, stride=1)]
        choices = [_block(4, channels, c_out, e) for e in (1, 2, 3, 4)] + extra
        layers.append(tuple(draw(st.lists(st.sampled_from(choices), min_size=1, max_size=5, unique=True))))
        channels = c_out
    return _space(layers, channels, separable=draw(st.booleans()))


@pytest.mark.parametrize("stabilizers", [False, True])
@pytest.mark.parametrize("name", SPACES.names())
def test_shipped_spaces(name: str, stabilizers: bool) -> None:
    space = get_space(name)
    costs = _random_costs(space, seed=1)
    archs = space.sample(300, seed=2)
    archs[:100][archs[:100] % 2 == 0] = -1  # many skips next to each other
    archs = np.where(archs < 0, space.num_choices - 1, archs)
    sums = LayerSum(keeping(space, stabilizers), costs.__getitem__)
    np.testing.assert_allclose(sums(archs), _by_hand(space, costs, archs, stabilizers), rtol=1e-12, atol=0)


@settings(deadline=None)
@given(_spaces(), st.integers(0, 2**32), st.booleans())
def test_random_spaces(space: ChainSpace, seed: int, stabilizers: bool) -> None:
    costs = _random_costs(space, seed)
    archs = space.sample(60, seed)
    if space.size <= 60:
        archs = np.array(list(product(*(range(n) for n in space.num_choices))))
    sums = LayerSum(keeping(space, stabilizers), costs.__getitem__)
    np.testing.assert_allclose(sums(archs), _by_hand(space, costs, archs, stabilizers), rtol=1e-12, atol=0)


@settings(deadline=None)
@given(_spaces(), st.integers(0, 2**32), st.booleans())
def test_steps_add_up_to_the_sum(space: ChainSpace, seed: int, stabilizers: bool) -> None:
    sums = LayerSum(keeping(space, stabilizers), _random_costs(space, seed).__getitem__)
    for arch in space.sample(20, seed):
        state, total = 0, 0.0
        for layer in reversed(range(space.num_layers)):
            total += sums.steps.costs[layer, arch[layer], state]
            state = sums.steps.states[layer, arch[layer], state]
        assert total + sums.steps.end[state] == pytest.approx(float(sums(arch)[0]), rel=1e-12)


def test_more_choices_than_two_layers_can_share_a_table_for() -> None:
    space = _space([tuple(_block(4, 4, 4, e) for e in range(1, 201)), (_skip(4),)], 4)
    costs = _random_costs(space, seed=3)
    archs = space.sample(200, seed=4)
    for stabilizers in (False, True):
        sums = LayerSum(keeping(space, stabilizers), costs.__getitem__)
        np.testing.assert_allclose(sums(archs), _by_hand(space, costs, archs, stabilizers), rtol=1e-12, atol=0)


@pytest.mark.parametrize("skips", [1, 2, 9])
@pytest.mark.parametrize("separable", [False, True])
def test_skips_behind_the_stem(separable: bool, skips: int) -> None:
    """One stabilizer for the whole run, which only a stem that ends in a convolution takes in."""
    space = _space([*[(_skip(4),)] * skips, (_block(4, 4, 4, 2),)], 4, separable)
    assert LayerSum(space.inheriting(), lambda _: 1.0)([0] * (skips + 1)).tolist() == [4 - separable]


@pytest.mark.parametrize("stabilizers", [False, True])
def test_a_sum_depends_on_its_arch_alone(stabilizers: bool) -> None:
    """To the last bit: not on the batch, its layout, or the integers' width."""
    space = get_space("scarlet-s2")
    sums = LayerSum(keeping(space, stabilizers), _random_costs(space, seed=5).__getitem__)
    archs = space.sample(20_000, seed=6)  # more than one block
    expected = sums(archs)
    for dtype in (np.int8, np.uint8, np.int16, np.uint64, ">i4"):
        assert np.array_equal(sums(archs.astype(dtype)), expected)
    assert np.array_equal(sums(np.asfortranarray(archs)), expected)
    assert np.array_equal(sums(archs[::-3]), expected[::-3])
    assert np.array_equal(sums(archs[:50].tolist()), expected[:50])
    for row in (0, 8191, 8192, 19_999):
        assert sums(archs[row]).tolist() == [expected[row]]
    assert sums(archs[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
@pytest.mark.parametrize("row", [0, 8192, 19_999])
@pytest.mark.parametrize(("layer", "choice"), [(0, 12), (2, 12), (18, 12), (1, 13), (9, 100), (18, -1), (1, -13)])
def test_a_choice_out_of_range_anywhere(dtype: type[np.integer], row: int, layer: int, choice: int) -> None:
    space = get_space("scarlet-s2")  # 12 is the skip, which layers 0, 2, 6, 10, 14 and 18 don't have
    archs = space.sample(20_000, seed=7).astype(dtype)
    archs[row, layer] = np.array(choice).astype(dtype)
    for stabilizers in (False, True):
        sums = LayerSum(keeping(space, stabilizers), lambda _: 1.0)
        with pytest.raises(ArchError, match=f"choice {archs[row, layer]} .*at layer {layer} of"):
            sums(archs)


@pytest.mark.parametrize("choice", [2**24, 2**32, 2**62, -(2**63), 13**3])
def test_a_huge_choice_never_becomes_a_small_one(choice: int) -> None:
    space = get_space("scarlet-s2")
    archs = space.sample(3, seed=8)
    archs[1, 5] = choice
    with pytest.raises(ArchError, match="layer 5"):
        LayerSum(space, lambda _: 1.0)(archs)


@pytest.mark.parametrize(
    "archs", [np.zeros((2, 18), int), np.zeros((2, 19)), np.zeros((1, 2, 19), int), [[0] * 19, []]]
)
def test_what_isnt_a_batch_of_archs(archs: np.ndarray) -> None:
    with pytest.raises(ArchError):
        LayerSum(get_space("scarlet-s2"), lambda _: 1.0)(archs)
