from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import ConfigError
from hwnas.graph.count import count
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.space.chain import ChainSpace, Stage, assemble
from hwnas.space.registry import get_space
from hwnas.space.scarlet import scarlet_tiny
from hwnas.training.sampling import SAMPLERS, FairDeck, ProgressivePaths, SandwichPaths, UniformPaths


def space_with(numbers_of_choices: list[int]) -> ChainSpace:
    """A space whose layers have these numbers of choices."""
    numbers = iter(numbers_of_choices)

    def choices(c_in: int, size: int, c_out: int, stride: int) -> tuple[Op, ...]:
        return tuple(
            MBConv(
                c_in=c_in, h_in=size, w_in=size, c_out=c_out,
                kernel=3, stride=stride, expansion=1 + e, se=False, act="relu",
            )
            for e in range(next(numbers))
        )  # fmt: skip

    stem = Stem(c_in=3, h_in=8, w_in=8, c_out=4, width=4, stride=2, separable=False, act="relu")
    stages = [Stage(c_out=4, layers=len(numbers_of_choices), stride=1)]
    return assemble(
        name="s", source="s", stem=stem, stages=stages, choices=choices, head_width=4, classes=2, act="relu"
    )


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 13), min_size=1, max_size=5),
    paths=st.none() | st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_counts_stay_within_one_after_every_single_path(numbers: list[int], paths: int | None, seed: int) -> None:
    deck = FairDeck(space_with(numbers), np.random.default_rng(seed), paths)
    seen = [np.zeros(n, dtype=int) for n in numbers]
    for _ in range(5):
        archs = deck.next(0.0)
        assert archs.shape == (paths or max(numbers), len(numbers))
        for arch in archs:
            for layer, choice in enumerate(arch):
                seen[layer][choice] += 1
                assert np.ptp(seen[layer]) <= 1
    assert [c.tolist() for c in deck.counts] == [c.tolist() for c in seen]


def test_an_update_of_equal_layers_takes_each_choice_exactly_once() -> None:
    deck = FairDeck(space_with([4, 4, 4]), np.random.default_rng(0))
    for _ in range(10):
        assert (np.sort(deck.next(0.0), axis=0) == np.arange(4)[:, None]).all()


def test_layers_are_shuffled_independently_and_anew() -> None:
    deck = FairDeck(space_with([6, 6]), np.random.default_rng(0))
    updates = [deck.next(0.0) for _ in range(20)]
    assert any((u[:, 0] != u[:, 1]).any() for u in updates)
    assert any((a != b).any() for a, b in pairwise(updates))


@pytest.mark.parametrize("rule", SAMPLERS.names())
def test_a_restored_sampler_deals_what_the_first_would_have(rule: str) -> None:
    space = scarlet_tiny()
    sampler = SAMPLERS.get(rule)(space, np.random.default_rng(3), 4)  # 4 leaves cards in the decks
    sampler.next(0.0)
    state = json.loads(json.dumps(sampler.state()))
    expected = [sampler.next(0.0) for _ in range(5)]
    other = SAMPLERS.get(rule)(space, np.random.default_rng(99), 4)
    other.restore(state)
    assert [a.tolist() for a in expected] == [other.next(0.0).tolist() for _ in range(5)]
    assert [c.tolist() for c in sampler.counts] == [c.tolist() for c in other.counts]


def test_uniform_paths_are_valid_and_not_fair() -> None:
    space = scarlet_tiny()
    sampler = UniformPaths(space, np.random.default_rng(0))
    for _ in range(50):
        space.check(sampler.next(0.0))
    assert max(map(np.ptp, sampler.counts)) > 1  # 50 updates of independent draws; the chance of 1 is nil


@pytest.mark.parametrize("name", ["scarlet-tiny", "scarlet-s2", "macro"])
def test_a_sandwich_is_the_largest_the_smallest_and_random_ones(name: str) -> None:
    space = get_space(name)
    sampler = SandwichPaths(space, np.random.default_rng(0))
    archs = np.concatenate([sampler.next(0.0) for _ in range(30)]).reshape(30, 4, -1)
    assert (archs[:, :2] == archs[0, :2]).all()
    everything = [count(space.graph(arch)).madds for arch in archs.reshape(-1, space.num_layers)]
    assert max(everything) == count(space.graph(archs[0, 0])).madds
    assert min(everything) == count(space.graph(archs[0, 1])).madds
    assert len({tuple(arch) for arch in archs[:, 2:].reshape(-1, space.num_layers).tolist()}) > 50  # the rest vary
    assert sampler.first_teaches


def test_a_sandwich_of_two_is_no_sandwich() -> None:
    with pytest.raises(ConfigError, match="3 or more, got 2"):
        SandwichPaths(scarlet_tiny(), np.random.default_rng(0), 2)


def test_progressive_opens_depth_and_then_expansion_and_is_fair_throughout() -> None:
    space = get_space("scarlet-s2")
    sampler = ProgressivePaths(space, np.random.default_rng(0))
    for start, end, paths, skips, expansions in (
        (0.0, 0.249, 6, False, {6.0}), (0.25, 0.499, 7, True, {6.0}), (0.5, 0.999, 13, True, {3.0, 6.0}),
    ):  # fmt: skip
        before = [counts.copy() for counts in sampler.counts]
        dealt = [sampler.next(done) for done in np.linspace(start, end, 13)]
        assert {archs.shape for archs in dealt} == {(paths, 19)}
        assert sampler.paths(start) == paths
        for layer, choices in enumerate(space.layers):
            counts = sampler.counts[layer] - before[layer]
            used = [choices[i] for i in np.flatnonzero(counts)]
            assert any(isinstance(op, Stabilizer) for op in used) == (skips and isinstance(choices[-1], Stabilizer))
            assert {op.expansion for op in used if isinstance(op, MBConv)} == expansions
            assert np.ptp(counts[counts > 0]) <= 1
            assert sampler.choices_in_play(start)[layer] == len(used)


def test_a_rule_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(
        ConfigError, match=r"no sampling rule 'fair'; did you mean 'strict-fair'\? known: strict-fair, un"
    ):
        SAMPLERS.get("fair")(scarlet_tiny(), np.random.default_rng(0))
