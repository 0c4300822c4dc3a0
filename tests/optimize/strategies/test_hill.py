"""Hill climbing: what it proposes follows from where it stands, and where there is one hill it ends on top."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs
from hwnas.optimize.driver import run_search
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.strategies.hill import HillClimbing
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, quality_and_cost, table

_NEIGHBOURS = 8 * 2


def _batches(problem: Problem, at_once: int, count: int, seed: int = 0) -> list[Archs]:
    strategy = HillClimbing(problem, FeasibleRegion(problem), np.random.default_rng(seed), at_once=at_once)
    batches = []
    for _ in range(count):
        batches.append(strategy.ask(at_once))
        strategy.tell(batches[-1], np.column_stack([o.values(batches[-1]) for o in problem.objectives]))
    return batches


def _near(archs: Archs, centre: Archs) -> bool:
    return bool(((archs != centre).sum(axis=1) == 1).all())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_a_single_hill_is_climbed_to_its_top(seed: int, at_once: int) -> None:
    """A sum over layers has no other local optimum; each layer is improved at most twice on the way up."""
    per_choice = table(MACRO, seed)
    problem = Problem(MACRO, (Objective("height", layer_sum(MACRO, per_choice), maximize=True),))
    longest = 1 + (_NEIGHBOURS + 1) * _NEIGHBOURS  # batches: the start, and everything around each step and the top
    top = np.argmax(per_choice, axis=1)
    proposed = np.concatenate(_batches(problem, at_once, longest if at_once == 1 else 60, seed))
    assert (proposed == top).all(axis=1).any()


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_it_stands_on_the_best_and_leaves_when_all_around_is_worse(at_once: int) -> None:
    """Every batch is either around the best since the last start, or a start, once all around that best was seen."""
    objective = Objective("height", lambda archs: np.sin(archs @ np.arange(1, 9) * 1.7), maximize=True)
    here, best, starts, seen = None, -np.inf, 0, np.empty((0, 8), dtype=np.int64)
    for batch in _batches(Problem(MACRO, (objective,)), at_once, 400 // at_once):
        if here is None or not _near(batch, here):
            starts += 1
            if here is not None:
                around = ALL_MACRO[(here != ALL_MACRO).sum(axis=1) == 1]
                assert (around[:, None] == seen).all(axis=2).any(axis=1).all()
            here, best = batch[0], -np.inf
        heights = objective.values(batch)
        if heights.max() > best:
            here, best = batch[np.argmax(heights)], heights.max()
        seen = np.concatenate([seen, batch])
    assert starts > 3


def test_a_step_up_may_be_paid_for_in_another_layer() -> None:
    """Every layer's first step costs 1 of a budget of 4 and gains from 1 to 8: single changes alone get stuck."""
    gains = np.arange(1.0, 9)
    objectives = [
        Objective("gain", lambda archs: (archs > 0) @ gains, maximize=True),
        Objective("cost", lambda archs: archs.sum(axis=1) + 1.0, free=True, weight=0),
    ]
    found = []
    for seed in range(10):
        result = run_search(MACRO, objectives, [Budget("cost", 5)], "hill", evaluations=120, seed=seed)
        found.append(result.values[:, 0].max())
    assert np.median(found) == 5 + 6 + 7 + 8


def test_those_over_a_budget_are_left_behind() -> None:
    """The budget isn't free, so it starts outside; the way in is down the excess, whatever the quality says."""
    quality, cost = quality_and_cost(0)
    at_most = float(np.quantile(cost(ALL_MACRO), 0.003))
    objectives = [Objective("quality", quality, maximize=True), Objective("cost", cost, weight=0)]
    result = run_search(MACRO, objectives, [Budget("cost", at_most)], "hill", evaluations=150)
    within = result.values[:, 1] <= at_most
    assert not within[:4].any()
    assert within.sum() > 5  # random: 1 in 300
