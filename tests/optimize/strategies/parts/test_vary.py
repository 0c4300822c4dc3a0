"""The steps that make new archs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.strategies.parts.vary import (
    Seen,
    mutate,
    mutate_one,
    single_changes,
    spread,
    tournament,
    uniform_crossover,
)
from hwnas.space.space import Space
from tests.optimize.feasible.regions import region_of, unlisted
from tests.optimize.problems import ALL_MACRO, MACRO


def _region(at_most: float) -> FeasibleRegion:
    """macro archs whose choices add up to less than ``at_most``."""
    objective = Objective("sum", lambda archs: archs.sum(axis=1) + 1.0, free=True)
    return FeasibleRegion(Problem(MACRO, (objective,), (Budget("sum", at_most),)))


def test_sampling_is_uniform_within_the_budget() -> None:
    region = _region(3)  # 1 + 8 + (8 + 28) archs
    feasible = ALL_MACRO[region.contains(ALL_MACRO)]
    rng = np.random.default_rng(0)
    drawn = np.concatenate([_region(9).sample(2000, rng) for _ in range(20)])
    assert _region(9).contains(drawn).all()
    inside = drawn[region.contains(drawn)]
    counts = (inside[:, None] == feasible).all(axis=2).sum(axis=0)
    assert counts.sum() == len(inside) > 200
    chi_squared = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert chi_squared < 82  # 44 degrees of freedom: 1 in 2,000 is above


@pytest.mark.parametrize(("at_most", "archs"), [(1, 1), (2, 9)])
def test_sampling_ends_where_hardly_anything_is_feasible(at_most: float, archs: int) -> None:
    drawn = _region(at_most).sample(500, np.random.default_rng(0))
    assert drawn.shape == (500, 8)
    assert _region(at_most).contains(drawn).all()
    assert len(np.unique(drawn, axis=0)) == archs


def test_tournament_prefers_rank_then_crowding() -> None:
    rng = np.random.default_rng(0)
    for rank, crowding in (([1, 0], [9.0, 1.0]), ([0, 0], [1.0, 2.0])):
        winners = tournament(np.array(rank), np.array(crowding), 20000, rng)
        assert winners.mean() == pytest.approx(0.75, abs=0.02)  # the better loses only when drawn against itself


def test_crossover_takes_layers_of_either_parent_alike() -> None:
    mothers, fathers = np.zeros((4000, 8), dtype=np.int64), np.ones((4000, 8), dtype=np.int64)
    children = uniform_crossover(mothers, fathers, 0.8, np.random.default_rng(0))
    np.testing.assert_allclose(children.mean(axis=0), 0.4, atol=0.04)
    assert (children.sum(axis=1) == 0).mean() == pytest.approx(0.2 + 0.8 / 2**8, abs=0.03)
    np.testing.assert_array_equal(uniform_crossover(mothers, fathers, 0, np.random.default_rng(0)), mothers)


def test_mutation_takes_every_other_choice_alike_and_never_a_barred_one(small_space: Space) -> None:
    archs = np.tile(small_space.num_choices - 1, (6000, 1))
    changed = mutate(small_space, archs, 1.0, np.random.default_rng(0))
    for layer, choices in enumerate(small_space.num_choices):
        counts = np.bincount(changed[:, layer], minlength=choices)
        assert len(counts) == choices
        assert counts[-1] == 0
        np.testing.assert_allclose(counts[:-1], 6000 / (choices - 1), rtol=0.1)
    rate = (mutate(small_space, archs, 0.3, np.random.default_rng(0)) != archs).mean()
    assert rate == pytest.approx(0.3, abs=0.01)


def test_one_layer_changes_each_alike_to_each_other_choice_alike(small_space: Space) -> None:
    space = replace(small_space, layers=(small_space.layers[0][:1], *small_space.layers[1:]))  # the first has no choice
    archs = np.tile(space.num_choices - 1, (10000, 1))
    changed = mutate_one(space, archs, np.random.default_rng(0))
    assert ((changed != archs).sum(axis=1) == 1).all()
    for layer, choices in enumerate(space.num_choices[1:], 1):
        counts = np.bincount(changed[:, layer], minlength=choices)[:-1]
        assert len(counts) == choices - 1
        np.testing.assert_allclose(counts, 10000 / 5 / (choices - 1), rtol=0.15)


def test_single_changes_are_all_archs_one_layer_away() -> None:
    centre = ALL_MACRO[[1234]]
    expected = ALL_MACRO[(centre != ALL_MACRO).sum(axis=1) <= 1]
    np.testing.assert_array_equal(np.unique(single_changes(MACRO, centre), axis=0), expected)


def test_novel_keeps_the_first_of_each_in_order() -> None:
    seen = Seen(MACRO)
    seen.add(ALL_MACRO[[3]])
    np.testing.assert_array_equal(seen.novel(ALL_MACRO[[7, 3, 5, 7, 1, 5]]), ALL_MACRO[[7, 5, 1]])


@pytest.mark.parametrize("at_most", [4, 100])
def test_neighbours_reach_every_feasible_arch_and_no_other(at_most: float) -> None:
    region, seen, rng = _region(at_most), Seen(MACRO), np.random.default_rng(0)
    seen.add(region.anchor[None])
    total = 1
    while len(found := seen.neighbours(region, 150, rng)):
        assert len(found) <= 150
        assert len(seen.novel(found)) == len(found)
        assert region.contains(found).all()
        seen.add(found)
        total += len(found)
    assert total == region.contains(ALL_MACRO).sum()


@pytest.mark.parametrize("listed", [True, False])
def test_neighbours_go_on_across_what_budgets_leave_out(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archs with the choices 0 and 2 alone, at most one 2 or at least seven: no single change leads across."""
    if not listed:
        unlisted(monkeypatch)

    def islands(archs: Archs) -> Values:
        twos = (archs == 2).sum(axis=1)
        return np.where((archs == 1).any(axis=1) | ((twos > 1) & (twos < 7)), 3.0, 1.0)

    region, seen, rng = region_of(MACRO, (islands, 2)), Seen(MACRO), np.random.default_rng(0)
    assert not len(seen.neighbours(region, 150, rng))  # of nothing
    seen.add(region.anchor[None])
    total = 1
    while len(found := seen.neighbours(region, 150, rng)):
        assert len(seen.novel(found)) == len(found)
        assert region.contains(found).all()
        seen.add(found)
        total += len(found)
    assert total == (18 if listed else 9)


def test_spread_on_a_line() -> None:
    points = np.array([4.0, 1, 10, 0, 5, 9.5])[:, None]
    assert points[spread(points, 4), 0].tolist() == [0, 10, 5, 1]


def test_spread_measures_each_column_by_its_range() -> None:
    points = np.array([[0, 0.0], [1, 0], [0, 1e9], [0.1, 9e8]])
    assert set(spread(points, 3)) == {0, 1, 2}


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 3), st.integers(0, 2), st.data())
def test_spread_chooses_different_points_even_among_equals(
    n: int, columns: int, distinct: int, data: st.DataObject
) -> None:
    points = np.random.default_rng(n).integers(0, distinct + 1, (n, columns)).astype(float)
    count = data.draw(st.integers(1, n))
    chosen = spread(points, count)
    assert len(set(chosen)) == count
    assert len(np.unique(points[chosen], axis=0)) == min(count, len(np.unique(points, axis=0)))
