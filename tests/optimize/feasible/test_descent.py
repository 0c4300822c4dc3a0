"""Coordinate descent against enumeration."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible.descent import descend
from hwnas.space.space import Space
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, table

_seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=30)
@given(_seeds)
def test_it_is_exact_for_sums(seed: int) -> None:
    fn = layer_sum(MACRO, table(MACRO, seed, -1, 1))
    arch, value = descend(MACRO, fn, np.zeros(8, dtype=np.int64))
    everything = fn(ALL_MACRO)
    assert value == everything.min()
    np.testing.assert_array_equal(arch, ALL_MACRO[everything.argmin()])


@settings(deadline=None, max_examples=20)
@given(_seeds)
def test_what_it_finds_of_anything_cant_be_improved_by_one_layer(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(size=len(ALL_MACRO))

    def fn(archs: Archs) -> Values:
        return values[archs @ 3 ** np.arange(7, -1, -1)]

    arch, value = descend(MACRO, fn, np.zeros(8, dtype=np.int64))
    neighbours = ALL_MACRO[(arch != ALL_MACRO).sum(axis=1) <= 1]
    assert len(neighbours) == 17
    assert value == fn(neighbours).min()


def test_it_respects_barred_choices(small_space: Space) -> None:
    per_choice = -np.tile(np.arange(int(small_space.num_choices.max()), dtype=float), (6, 1))
    arch, value = descend(small_space, layer_sum(small_space, per_choice), np.zeros(6, dtype=np.int64))
    np.testing.assert_array_equal(arch, small_space.num_choices - 1)
    assert value == -(small_space.num_choices - 1).sum()
    assert len(set(small_space.num_choices)) == 2  # else nothing is barred and this test says little
