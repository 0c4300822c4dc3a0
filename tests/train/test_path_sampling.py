from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.space.op import MBConv, Op, Stem
from hwnas.space.scarlet import scarlet_tiny
from hwnas.space.space import Space, Stage, assemble
from hwnas.train.sampling import SAMPLERS, FairDeck, UniformPaths, spread_of_counts


def space_with(numbers_of_choices: list[int]) -> Space:
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
        archs = deck.next()
        assert archs.shape == (paths or max(numbers), len(numbers))
        for arch in archs:
            for layer, choice in enumerate(arch):
                seen[layer][choice] += 1
                assert np.ptp(seen[layer]) <= 1
    assert [c.tolist() for c in deck.counts] == [c.tolist() for c in seen]


def test_an_update_of_equal_layers_takes_each_choice_exactly_once() -> None:
    deck = FairDeck(space_with([4, 4, 4]), np.random.default_rng(0))
    for _ in range(10):
        assert (np.sort(deck.next(), axis=0) == np.arange(4)[:, None]).all()


def test_layers_are_shuffled_independently_and_anew() -> None:
    deck = FairDeck(space_with([6, 6]), np.random.default_rng(0))
    updates = [deck.next() for _ in range(20)]
    assert any((u[:, 0] != u[:, 1]).any() for u in updates)
    assert any((a != b).any() for a, b in pairwise(updates))


@pytest.mark.parametrize("rule", sorted(SAMPLERS))
def test_a_restored_sampler_deals_what_the_first_would_have(rule: str) -> None:
    space = scarlet_tiny()
    sampler = SAMPLERS[rule](space, np.random.default_rng(3), 4)  # 4 leaves cards in the decks
    sampler.next()
    state = json.loads(json.dumps(sampler.state()))
    expected = [sampler.next() for _ in range(5)]
    other = SAMPLERS[rule](space, np.random.default_rng(99), 4)
    other.restore(state)
    assert [a.tolist() for a in expected] == [other.next().tolist() for _ in range(5)]
    assert [c.tolist() for c in sampler.counts] == [c.tolist() for c in other.counts]


def test_uniform_paths_are_valid_and_not_fair() -> None:
    space = scarlet_tiny()
    sampler = UniformPaths(space, np.random.default_rng(0))
    for _ in range(50):
        space.check(sampler.next())
    assert spread_of_counts(sampler) > 1  # 50 updates of independent draws; the chance of 1 is nil
