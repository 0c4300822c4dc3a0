"""Regularized evolution, against the rules of its Algorithm 1."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.arrays import Archs, Values
from hwnas.optimize.driver import run_search
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.strategies.regularized import RegularizedEvolution
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, quality_and_cost, table


def _run(space: Space, quality: Objective, count: int, population: int, sample: int, seed: int = 0) -> Archs:
    problem = Problem(space, (quality,))
    rng = np.random.default_rng(seed)
    strategy = RegularizedEvolution(
        problem, FeasibleRegion(problem), rng, population=population, sample=sample, children=1
    )
    archs = np.empty((0, space.num_layers), dtype=np.int64)
    while len(archs) < count:
        asked = strategy.ask(1)
        strategy.tell(asked, quality.values(asked)[:, None])
        archs = np.concatenate([archs, asked])
    return archs


def _distances(archs: Archs, child: Archs) -> Values:
    return (archs != child).sum(axis=1)


def test_a_child_is_one_layer_away_from_someone_alive_and_the_dead_have_none() -> None:
    """With a sample of one, that is without selection, parents are uniform over the youngest ``population``."""
    quality = Objective("quality", quality_and_cost(0)[0], maximize=True)
    population, from_oldest = 12, 0
    archs = _run(MACRO, quality, 400, population, sample=1)
    for born in range(population, len(archs)):
        alive = _distances(archs[born - population : born], archs[born]) == 1
        assert alive.any()
        from_oldest += bool(alive[0]) and alive.sum() == 1
    assert from_oldest > 5  # whose parent is about to die, and could be nobody else


def test_the_best_alive_is_the_parent_when_everyone_is_in_the_sample() -> None:
    """On a space where no arch runs out of new neighbours meanwhile."""
    space = get_space("scarlet-s2")
    quality = Objective("quality", layer_sum(space, table(space, 1)), maximize=True)
    population = 15
    archs = _run(space, quality, 80, population, sample=2000)
    values = quality.values(archs)
    for born in range(population, len(archs)):
        parent = born - population + int(np.argmax(values[born - population : born]))
        assert _distances(archs[[parent]], archs[born]) == 1


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    """One arch is far better than all others; its neighbours stop being proposed when it died."""
    population = 10
    quality = Objective("quality", lambda archs: np.where((archs == star).all(axis=1), 1e6, 1.0), maximize=True)
    star = _run(MACRO, Objective("one", lambda archs: np.ones(len(archs))), 1, population, sample=50)[0]  # same draws
    archs = _run(MACRO, quality, 40, population, sample=2000)
    np.testing.assert_array_equal(archs[0], star)
    near = _distances(archs, star) == 1
    assert near[population]  # bred while the first was alive
    assert near[population + 1 :].mean() < 0.5


@pytest.mark.parametrize(("at_most", "free"), [(None, True), (45.0, True), (45.0, False)])
def test_it_comes_nearer_to_the_best_than_random_search(at_most: float | None, free: bool) -> None:
    """Medians of ten problems: what is missing to the best quality within budget after 150 evaluations."""
    missing: dict[str, list[float]] = {"regularized": [], "random": []}
    for seed in range(10):
        quality, cost = quality_and_cost(seed)
        objectives = [
            Objective("quality", quality, maximize=True),
            Objective("cost", cost, free=free, weight=0),
        ]
        budgets = [] if at_most is None else [Budget("cost", at_most)]
        best = quality(ALL_MACRO[cost(ALL_MACRO) <= (at_most or np.inf)]).max()
        for strategy, found in missing.items():
            result = run_search(MACRO, objectives, budgets, strategy, evaluations=150, seed=seed)
            found.append(best - result.values[result.front, 0].max())
    assert np.median(missing["regularized"]) < 0.5 * np.median(missing["random"])


def test_weights_decide_what_is_sought() -> None:
    """On the line weight · a - b the best arch is known layer by layer."""
    tables = [table(MACRO, seed) for seed in (0, 1)]
    for weight in (0.0, 1.0, 3.0):
        objectives = [
            Objective("a", layer_sum(MACRO, tables[0]), maximize=True, weight=weight),
            Objective("b", layer_sum(MACRO, tables[1])),
        ]
        problem = Problem(MACRO, tuple(objectives))
        best = np.argmax(weight * tables[0] - tables[1], axis=1)
        result = run_search(MACRO, objectives, strategy="regularized", evaluations=400)
        found = result.archs[np.argmin(problem.weighted(result.values))]
        np.testing.assert_array_equal(found, best)
