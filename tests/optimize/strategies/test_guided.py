"""The guided strategy as a whole: what it finds per evaluation, beside the others, on problems that are enumerated."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hwnas.arrays import Values
from hwnas.optimize.driver import run_search
from hwnas.optimize.pareto import hypervolume
from hwnas.optimize.problem import Budget, Objective
from hwnas.prediction.costs import madds
from tests.optimize.problems import MACRO, exact_values, quality_cost_objectives, share_of_exact


def _found(objectives: list[Objective], strategy: str, count: int, seed: int) -> float:
    exact = exact_values(objectives)
    values = run_search(MACRO, objectives, strategy=strategy, evaluations=count, seed=seed).values
    return share_of_exact(values, exact, (float(exact[:, 0].min()), float(exact[:, 1].max())))


@pytest.mark.parametrize("free", [True, False])
def test_it_finds_more_with_60_evaluations_than_nsga2_with_200(free: bool) -> None:
    guided, nsga2 = [], []
    for seed in range(5):
        objectives = quality_cost_objectives(seed, free)
        guided.append(_found(objectives, "guided", 60, seed))
        nsga2.append(_found(objectives, "nsga2", 200, seed))
    assert np.median(guided) > np.median(nsga2)
    assert min(guided) > 0.98


def test_nas_bench_macro(shared_data: Path) -> None:
    """Published accuracies of all archs (Su et al., CVPR 2021); docs/results.md has 20 seeds."""
    networks = json.loads(gzip.decompress((shared_data / "nas_bench_macro_cifar10.json.gz").read_bytes()))
    accuracy = np.array([np.mean(networks[name]["test_acc"]) for name in sorted(networks)])
    place = 3 ** np.arange(7, -1, -1)
    objectives = [
        Objective("accuracy", lambda archs: accuracy[archs @ place], maximize=True),
        Objective("madds", madds(MACRO), free=True),
    ]
    exact = exact_values(objectives)
    found = [run_search(MACRO, objectives, strategy="guided", evaluations=200, seed=seed).values for seed in range(3)]
    shares = np.median([[share_of_exact(v[:n], exact, (45, 106e6)) for n in (100, 200)] for v in found], axis=0)
    assert (shares >= [0.997, 0.9995]).all()


def test_a_measured_budget_pulls_the_search_inside() -> None:
    """Three in a thousand archs are within a budget that is no free objective."""
    objectives = quality_cost_objectives(0, free=False)
    exact = exact_values(objectives)
    at_most = float(np.quantile(exact[:, 1], 0.003))
    result = run_search(MACRO, objectives, [Budget("cost_ms", at_most)], "guided", evaluations=100)
    within = result.values[:, 1] <= at_most
    assert not within[:20].any()  # it had to find them
    assert within.sum() >= 10
    assert result.values[within, 0].max() == pytest.approx(exact[exact[:, 1] <= at_most, 0].max(), rel=0.02)


def test_four_objectives() -> None:
    """Of which two are free: it finds more than NSGA-III, with as many evaluations."""
    (quality, cost), (other, _) = quality_cost_objectives(0), quality_cost_objectives(1)
    objectives = [
        quality,
        Objective("other", other.fn, maximize=True),
        cost,
        Objective("madds", madds(MACRO), free=True),
    ]
    exact = exact_values(objectives)
    worst = np.where([o.maximize for o in objectives], exact.min(axis=0), exact.max(axis=0))

    def volume(strategy: str, seed: int) -> float:
        values: Values = run_search(MACRO, objectives, strategy=strategy, evaluations=80, seed=seed).values
        return hypervolume(values, worst, [o.maximize for o in objectives])

    assert np.median([volume("guided", s) for s in range(2)]) > np.median([volume("nsga3", s) for s in range(2)])
