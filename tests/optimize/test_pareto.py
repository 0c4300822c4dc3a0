"""Ranks, crowding, survival and hypervolume, against closed forms, definitions and pymoo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from hwnas.arrays import Values
from hwnas.optimize.pareto import (
    constrained_rank,
    crowding_distance,
    hypervolume,
    non_dominated,
    rank_and_crowding,
    survivors,
    weighted_rank,
    worst,
)
from hwnas.optimize.problem import Budget, Objective
from hwnas.optimize.problem import Problem as SearchProblem
from tests.optimize.problems import MACRO


@st.composite
def _values(draw: st.DrawFn) -> Values:
    """(N, K) values; whole numbers half of the time, so that ties and duplicates occur."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(3, 40)), draw(st.integers(1, 4))
    return rng.integers(0, 6, shape).astype(float) if draw(st.booleans()) else rng.normal(size=shape)


def test_crowding_by_hand() -> None:
    values = np.array([[3.0, 1], [0, 4], [4, 0], [1, 2]])
    np.testing.assert_allclose(crowding_distance(values), [3 / 4 + 2 / 4, np.inf, np.inf, 3 / 4 + 3 / 4])


def test_crowding_of_few_and_of_equals() -> None:
    assert crowding_distance(np.array([[1.0, 2], [2, 1]])).tolist() == [np.inf, np.inf]
    np.testing.assert_allclose(crowding_distance(np.array([[0.0, 7], [2, 7], [4, 7]])), [np.inf, 1, np.inf])
    assert crowding_distance(np.ones((4, 2))).tolist() == [0] * 4


@settings(deadline=None, max_examples=100)
@given(_values())
def test_crowding_is_pymoos(values: Values) -> None:
    expected = calc_crowding_distance(values) * values.shape[1]  # pymoo takes the mean over objectives, Deb the sum
    np.testing.assert_allclose(crowding_distance(values), expected)


@settings(deadline=None, max_examples=100)
@given(_values())
def test_ranks_are_pymoos(values: Values) -> None:
    rank = constrained_rank(values, np.zeros(len(values)))
    fronts = NonDominatedSorting().do(values)
    assert [sorted(front) for front in fronts] == [np.flatnonzero(rank == r).tolist() for r in range(len(fronts))]
    assert rank.max() == len(fronts) - 1


def test_weighted_rank_by_hand() -> None:
    objectives = (
        Objective("top1", len, maximize=True, weight=2),
        Objective("latency_ms", len, weight=0.5),
        Objective("size_mb", len, weight=0),
    )
    problem = SearchProblem(MACRO, objectives, (Budget("size_mb", 10), Budget("latency_ms", 8)))
    values = np.array([[70.0, 4, 5], [80, 8, 1], [80, 8, 9], [90, 4, 11], [99, 1, 20], [75, 4, 0]])
    # sums -138, -156, -156, -146 over a budget, and -148; over the budgets are the fourth (0.1) and the fifth (1.0)
    assert weighted_rank(problem, values).tolist() == [2, 0, 0, 3, 4, 1]


def _dominates(a: Values, b: Values, excess_a: float, excess_b: float) -> bool:
    """Deb 2002 §VI, Definition 1."""
    if excess_a > 0 or excess_b > 0:
        return excess_a < excess_b
    return bool((a <= b).all() and (a < b).any())


@settings(deadline=None, max_examples=50)
@given(_values(), st.integers(0, 2**32 - 1))
def test_constrained_ranks_follow_the_definition(values: Values, seed: int) -> None:
    excess = np.maximum(np.random.default_rng(seed).integers(-2, 4, len(values)), 0).astype(float)
    rank = constrained_rank(values, excess)
    left, level = set(range(len(values))), 0
    while left:
        best = {i for i in left if not any(_dominates(values[j], values[i], excess[j], excess[i]) for j in left)}
        assert set(np.flatnonzero(rank == level).tolist()) == best
        left, level = left - best, level + 1


@settings(deadline=None, max_examples=60)
@given(_values(), st.integers(2, 20))
def test_survivors_are_pymoos(values: Values, count: int) -> None:
    count = min(count, len(values))
    rank, crowding = rank_and_crowding(values, np.zeros(len(values)))
    chosen = survivors(rank, crowding, count)
    problem = Problem(n_var=1, n_obj=values.shape[1])
    population = Population.new(X=np.arange(len(values))[:, None], F=values)
    rng = np.random.RandomState(0)
    theirs = RankAndCrowding().do(problem, population, n_survive=count, random_state=rng).get("X")[:, 0].astype(int)
    # pymoo draws among equally crowded ones, we take the earlier: the ranks and distances must agree, not the names
    assert sorted(zip(rank[chosen], crowding[chosen], strict=True)) == sorted(
        zip(rank[theirs], crowding[theirs], strict=True)
    )
    assert len(set(chosen)) == count


def test_survivors_of_a_tie_are_the_earlier() -> None:
    assert survivors(np.array([1, 0, 0, 0]), np.array([9.0, 1, 1, 2]), 2).tolist() == [3, 1]


@settings(deadline=None, max_examples=50)
@given(_values(), st.integers(0, 15))
def test_non_dominated_follows_the_definition(values: Values, directions: int) -> None:
    maximize = np.array([bool(directions >> k & 1) for k in range(values.shape[1])])
    minimised = np.where(maximize, -values, values)
    expected = [
        i
        for i, row in enumerate(minimised)
        if not ((minimised <= row).all(axis=1) & (minimised < row).any(axis=1)).any()
    ]
    assert non_dominated(values, maximize).tolist() == expected


def test_hypervolume_by_hand() -> None:
    # accuracy up, latency down, from (50 %, 10 ms): 20 × 5 + 30 × 2 − the 20 × 2 they share
    assert hypervolume(np.array([[70.0, 5], [80, 8]]), (50, 10), (True, False)) == 20 * 5 + 30 * 2 - 20 * 2
    assert hypervolume(np.array([[70.0, 5], [60, 6], [99, 11], [50, 1]]), (50, 10), (True, False)) == 100
    assert hypervolume(np.array([[1.0, 1, 1], [0, 2, 2]]), (3, 3, 3), (False,) * 3) == 8 + 3 - 2
    assert hypervolume(np.array([[3.0], [2]]), (7,), (False,)) == 5
    assert hypervolume(np.empty((0, 2)), (1, 1), (False, False)) == 0


def test_worst_is_the_corner_of_all_points() -> None:
    assert worst(np.array([[70.0, 5], [80, 8]]), (True, False)).tolist() == [70, 8]


@pytest.mark.parametrize("count", [0, 1])
def test_non_dominated_of_hardly_anything(count: int) -> None:
    assert non_dominated(np.ones((count, 2)), (False, True)).tolist() == list(range(count))
