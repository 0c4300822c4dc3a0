"""NSGA-III: its directions and its survival against pymoo's and by hand, and what it finds with four objectives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.util.ref_dirs import get_reference_directions

from hwnas.arrays import Indices, Values
from hwnas.optimize.driver import run_search
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.pareto import hypervolume, non_dominated
from hwnas.optimize.problem import Objective, Problem
from hwnas.optimize.strategies.nsga3 import NSGA3, Niches, das_dennis, reference_directions
from tests.optimize.problems import MACRO, exact_values, layer_sum, quality_and_cost


def _sorted(directions: Values) -> Values:
    return np.array(sorted(np.round(directions, 12).tolist()))


@pytest.mark.parametrize(("objectives", "divisions"), [(1, 3), (2, 1), (2, 19), (3, 12), (4, 3), (5, 6), (8, 2)])
def test_directions_are_pymoos(objectives: int, divisions: int) -> None:
    theirs = get_reference_directions("das-dennis", objectives, n_partitions=divisions)
    np.testing.assert_array_equal(_sorted(das_dennis(objectives, divisions)), _sorted(theirs))


@pytest.mark.parametrize(
    ("objectives", "count", "layers"),
    [(3, 91, (12,)), (5, 210, (6,)), (8, 156, (3, 2)), (10, 275, (3, 2)), (15, 135, (2, 1))],
)
def test_as_many_directions_as_published(objectives: int, count: int, layers: tuple[int, ...]) -> None:
    """Deb & Jain 2014, Table I, with the two layers of §V from eight objectives on."""
    directions = reference_directions(objectives, count)
    outer, *inner = (get_reference_directions("das-dennis", objectives, n_partitions=p) for p in layers)
    shrunk = [points / 2 + 1 / (2 * objectives) for points in inner]
    np.testing.assert_array_equal(_sorted(directions), _sorted(np.concatenate([outer, *shrunk])))
    assert len(directions) == count


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 12), st.integers(1, 120))
def test_directions_are_different_unit_sums_and_as_few_as_asked(objectives: int, at_most: int) -> None:
    directions = reference_directions(objectives, at_most)
    assert objectives <= len(directions) <= max(objectives, at_most) or objectives == 1
    assert len(np.unique(np.round(directions, 12), axis=0)) == len(directions)
    np.testing.assert_allclose(directions.sum(axis=1), 1)
    assert (directions >= 0).all()


def _nsga3(objectives: int, population: int, seed: int = 0) -> NSGA3:
    problem = Problem(MACRO, tuple(Objective(str(k), len) for k in range(objectives)))
    return NSGA3(problem, FeasibleRegion(problem), np.random.default_rng(seed), population=population)


def _ours(values: Values, population: int, seed: int) -> Indices:
    strategy = _nsga3(values.shape[1], population, seed)
    return np.sort(strategy.survive(values, np.zeros(len(values)))[0])


def _pymoos(values: Values, population: int, seed: int) -> Indices:
    survival = ReferenceDirectionSurvival(reference_directions(values.shape[1], population))
    archs = Population.new(X=np.arange(len(values))[:, None], F=values)
    problem = PymooProblem(n_var=1, n_obj=values.shape[1])
    survived = survival.do(problem, archs, n_survive=population, random_state=np.random.RandomState(seed))
    return np.sort(survived.get("X")[:, 0].astype(np.int64))


def _unit(values: Values) -> Values:
    """Values whose front goes from 0 to 1 in each objective, which is where pymoo's tolerances make sense."""
    front = values[non_dominated(values, [False] * values.shape[1])]
    return (values - front.min(axis=0)) / np.ptp(front, axis=0)


def test_survivors_are_pymoos_where_nothing_is_drawn() -> None:
    compared = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(10, 60))
        values, population = _unit(rng.random((count, int(rng.integers(2, 6))))), count // 2
        if ((values > 0) & (values < 1e-3)).any():  # which pymoo takes for 0
            continue
        theirs = _pymoos(values, population, 0)
        if all(np.array_equal(theirs, _pymoos(values, population, draw)) for draw in range(1, 6)):
            for draw in range(3):
                np.testing.assert_array_equal(_ours(values, population, draw), theirs)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("objectives", [3, 4])
def test_where_something_is_drawn_everyone_survives_as_often_as_in_pymoo(objectives: int) -> None:
    """All are non-dominated, so everything is up to the niches."""
    values = _unit(np.random.default_rng(0).dirichlet(np.ones(objectives), 60))
    draws = 400

    def often(survive: Callable[[Values, int, int], Indices]) -> Values:
        return np.bincount(np.concatenate([survive(values, 40, d) for d in range(draws)]), minlength=60) / draws

    ours, theirs = often(_ours), often(_pymoos)
    assert ((theirs > 0.05) & (theirs < 0.95)).sum() > 20
    np.testing.assert_allclose(ours, theirs, atol=4.5 * np.sqrt(2 * 0.25 / draws))


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.lists(st.integers(-30, 30), min_size=5, max_size=5), st.integers(0, 2**32 - 1))
def test_units_of_objectives_dont_matter(objectives: int, powers: list[int], seed: int) -> None:
    """Milliseconds beside millions of multiply-adds; powers of two, so that nothing is rounded."""
    values = np.random.default_rng(seed).random((40, objectives))
    scaled = values * 2.0 ** np.array(powers[:objectives])
    np.testing.assert_array_equal(_ours(values, 20, 0), _ours(scaled, 20, 0))


def test_the_nadir_is_where_the_plane_cuts_the_axes() -> None:
    """All on the plane f/1 + g/20 + h/0.5 = 1 above (3, -7, 0.1)."""
    ideal, intercepts = np.array([3.0, -7, 0.1]), np.array([1.0, 20, 0.5])
    plane = np.random.default_rng(0).dirichlet(np.ones(3), 200) * intercepts + ideal
    corners = np.eye(3) * intercepts + ideal
    niches = Niches(das_dennis(3, 3))
    niches.normalise(np.concatenate([plane, corners]), np.concatenate([plane, corners]))
    np.testing.assert_allclose(niches.ideal, ideal)
    np.testing.assert_allclose(niches.nadir, ideal + intercepts)
    niches.normalise(plane[:5], plane[:5])  # the corners were known, and stay so
    np.testing.assert_allclose(niches.nadir, ideal + intercepts)


@pytest.mark.parametrize(
    "front",
    [
        np.array([[1.0, 2, 3]]),
        np.array([[1.0, 2, 3], [2, 1, 3]]),
        np.tile([1.0, 2, 3], (4, 1)),
        np.array([[0.0, 1, 1], [1, 0, 0]]),
    ],
    ids=["one", "two", "equals", "no plane"],
)
def test_without_a_plane_the_worst_of_the_front_is_the_nadir(front: Values) -> None:
    niches = Niches(das_dennis(3, 3))
    niches.normalise(np.concatenate([front, front + 1]), front)
    np.testing.assert_array_equal(niches.nadir, front.max(axis=0))
    chosen = niches.choose(front[:0], front, len(front), np.random.default_rng(0))
    assert sorted(chosen.tolist()) == list(range(len(front)))


def test_those_over_a_budget_are_behind_and_ordered_by_their_excess() -> None:
    strategy, rng = _nsga3(4, 10), np.random.default_rng(0)
    values, excess = rng.random((30, 4)), np.concatenate([np.zeros(6), rng.permutation(np.arange(1.0, 25))])
    best, rank, _ = strategy.survive(values, excess)
    assert set(best[:6]) == set(range(6))
    assert excess[best[6:]].tolist() == [1, 2, 3, 4]
    assert (rank[:6] == 0).all()  # between these a tournament is a toss
    assert (np.diff(rank[5:]) > 0).all()
    all_over, rank, _ = strategy.survive(values[6:], excess[6:])
    assert excess[6:][all_over].tolist() == list(range(1, 11))
    assert (np.diff(rank) > 0).all()


def _four_objectives(seed: int, free: bool) -> list[Objective]:
    """A quality, and three costs of which each prefers other layers and choices."""
    rng = np.random.default_rng(seed + 1000)
    size = np.array([0.0, 3.0, 7.0])
    costs = [1 + size * rng.uniform(0.2, 2, (8, 1)) * rng.uniform(0.5, 1.5, (8, 3)) for _ in range(2)]
    tables = [*costs, rng.uniform(0.5, 8, (8, 3))]
    quality = Objective("quality", quality_and_cost(seed)[0], maximize=True)
    return [quality, *(Objective(f"cost{k}", layer_sum(MACRO, table), free=free) for k, table in enumerate(tables))]


@pytest.mark.parametrize("free", [True, False])
def test_of_four_objectives_it_finds_more_than_nsga2_and_random(free: bool) -> None:
    """Medians over ten problems of the hypervolume in 400 evaluations, as a share of what all archs have."""
    shares: dict[str, list[float]] = {"nsga3": [], "nsga2": [], "random": []}
    for seed in range(10):
        objectives = _four_objectives(seed, free)
        exact, maximize = exact_values(objectives), [objective.maximize for objective in objectives]
        low, span, reference = exact.min(axis=0), np.ptp(exact, axis=0), np.where(maximize, 0.0, 1)
        total = hypervolume((exact - low) / span, reference, maximize)
        for strategy, found in shares.items():
            values = run_search(MACRO, objectives, strategy=strategy, evaluations=400, seed=seed).values
            found.append(hypervolume((values - low) / span, reference, maximize) / total)
    missed = {strategy: 1 - np.median(found) for strategy, found in shares.items()}
    assert missed["nsga3"] < 0.8 * missed["nsga2"] < 0.8 * missed["random"]
