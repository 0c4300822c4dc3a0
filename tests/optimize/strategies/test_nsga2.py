"""NSGA-II as a whole: it is as good as pymoo's without free objectives, and far better with them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo import nsga2 as pymoo_nsga2
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from hwnas.arrays import Archs, Values
from hwnas.optimize.driver import run_search
from hwnas.optimize.problem import Budget, Objective
from tests.optimize.problems import MACRO, exact_values, quality_cost_objectives, share_of_exact

_POINTS = (100, 200, 300)


def _worst(exact: Values) -> tuple[float, float]:
    return float(exact[:, 0].min()), float(exact[:, 1].max())


def _ours(objectives: list[Objective], exact: Values, seed: int, strategy: str = "nsga2") -> list[float]:
    values = run_search(MACRO, objectives, strategy=strategy, evaluations=max(_POINTS), seed=seed).values
    return [share_of_exact(values[:count], exact, _worst(exact)) for count in _POINTS]


def _pymoo(objectives: list[Objective], exact: Values, seed: int) -> list[float]:
    """pymoo's NSGA-II with its operators for integers and a population of 25."""
    evaluated: list[Values] = []

    class Macro(PymooProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=8, n_obj=2, xl=0, xu=2, vtype=int)

        def _evaluate(self, x: Archs, out: dict[str, Values], *args: object, **kwargs: object) -> None:
            values = np.column_stack([objective.values(x.astype(np.int64)) for objective in objectives])
            evaluated.append(values)
            out["F"] = np.where([o.maximize for o in objectives], -values, values)

    algorithm = pymoo_nsga2.NSGA2(
        pop_size=25,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Macro(), algorithm, ("n_eval", max(_POINTS)), seed=seed)
    values = np.concatenate(evaluated)
    return [share_of_exact(values[:count], exact, _worst(exact)) for count in _POINTS]


def _medians(shares: Sequence[list[float]]) -> Values:
    medians: Values = np.median(shares, axis=0)
    return medians


def test_it_finds_more_of_the_front_than_pymoo_and_random() -> None:
    """Medians over ten problems: with a free cost clearly more early on, without one as much within noise."""
    free, paid, pymoo, random = [], [], [], []
    for seed in range(10):
        objectives = quality_cost_objectives(seed)
        exact = exact_values(objectives)
        free.append(_ours(objectives, exact, seed))
        paid.append(_ours(quality_cost_objectives(seed, free=False), exact, seed))
        random.append(_ours(objectives, exact, seed, "random"))
        pymoo.append(_pymoo(objectives, exact, seed))
    missed, missed_by_pymoo = 1 - _medians(free), 1 - _medians(pymoo)
    assert (missed[:2] < 0.6 * missed_by_pymoo[:2]).all()
    assert missed[2] < missed_by_pymoo[2] + 0.002  # by now both have nearly all of it
    assert (_medians(paid) >= _medians(pymoo) - 0.01).all()
    assert (_medians(paid)[1:] > _medians(random)[1:]).all()


def test_nas_bench_macro(shared_data: Path) -> None:
    """Published accuracies of all archs (Su et al., CVPR 2021): far above the medians that pymoo's NSGA-II has."""
    networks = json.loads(gzip.decompress((shared_data / "nas_bench_macro_cifar10.json.gz").read_bytes()))

    def column(of: str) -> Values:
        return np.array([np.mean(networks[name][of]) for name in sorted(networks)])

    accuracy, madds, place = column("test_acc"), column("flops"), 3 ** np.arange(7, -1, -1)
    objectives = [
        Objective("accuracy", lambda archs: accuracy[archs @ place], maximize=True),
        Objective("madds", lambda archs: madds[archs @ place], free=True),
    ]
    exact, reference, points = exact_values(objectives), (45.0, 106e6), (100, 150, 200, 300)
    results = [run_search(MACRO, objectives, seed=seed).values for seed in range(10)]
    shares = [[share_of_exact(values[:count], exact, reference) for count in points] for values in results]
    assert (_medians(shares) >= [0.975, 0.988, 0.993, 0.996]).all()  # pymoo: .932, .965, .975, .991


def test_a_measured_budget_pulls_the_search_inside() -> None:
    """Three in a thousand archs are within a budget that is no free objective; the search closes in on them."""
    objectives = quality_cost_objectives(0, free=False)
    at_most = float(np.quantile(exact_values(objectives)[:, 1], 0.003))
    result = run_search(MACRO, objectives, [Budget("cost_ms", at_most)], evaluations=300)
    within = result.values[:, 1] <= at_most
    assert within.sum() >= 10  # random: 1 in 300
    assert not within[:20].any()  # it had to find them
    assert within[result.front].all()
