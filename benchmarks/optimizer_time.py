"""What a search takes beside its evaluations: 10,000 archs of scarlet-s2, beside pymoo with equal populations.

    python benchmarks/optimizer_time.py

All objectives are sums over layers of random numbers, a few microseconds an arch. Times include them; hwnas calls
those that are free for several candidates per evaluated arch, and the others for one arch at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from common import machine, row, side_by_side
from pymoo.algorithms.moo import nsga2 as pymoo_nsga2
from pymoo.algorithms.moo import nsga3 as pymoo_nsga3
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from hwnas.arrays import Archs, Values
from hwnas.optimize import STRATEGIES, Budget, Objective, StrategyFactory, run_search
from hwnas.optimize.strategies.nsga2 import NSGA2
from hwnas.optimize.strategies.nsga3 import NSGA3
from hwnas.space.registry import get_space

EVALUATIONS = 10_000
ROUNDS = 3
SPACE = get_space("scarlet-s2")
LAYERS = np.arange(SPACE.num_layers)
BUDGET = 23.0  # one arch in a hundred is within it


def main() -> None:
    warnings.filterwarnings("ignore")
    print(f"{machine()}; {EVALUATIONS:,} evaluations")
    for population in (20, 100):
        nsga2 = partial(NSGA2, population=population)
        _compare(
            f"two objectives, population {population}",
            {
                "pymoo NSGA-II": partial(_pymoo, 2, partial(pymoo_nsga2.NSGA2, pop_size=population)),
                "nsga2, all objectives free": partial(_ours, nsga2, (True, True)),
                "nsga2, one of two free": partial(_ours, nsga2, (False, True)),
                "nsga2, one of two free, within a budget": partial(_ours, nsga2, (False, True), BUDGET),
                "nsga2, none free": partial(_ours, nsga2, (False, False)),
            },
        )
    for divisions in (3, 6):
        directions = get_reference_directions("das-dennis", 4, n_partitions=divisions)
        nsga3 = partial(NSGA3, population=len(directions))
        _compare(
            f"four objectives, population {len(directions)}",
            {
                "pymoo NSGA-III": partial(_pymoo, 4, partial(pymoo_nsga3.NSGA3, directions)),
                "nsga3, all objectives free": partial(_ours, nsga3, (True,) * 4),
                "nsga3, three of four free": partial(_ours, nsga3, (False, True, True, True)),
            },
        )
    names = ("random", "regularized", "hill")
    _compare("two objectives, one free", {name: partial(_ours, STRATEGIES.get(name), (False, True)) for name in names})


def _compare(title: str, calls: Mapping[str, Callable[[], Any]]) -> None:
    print(title)
    found = side_by_side(calls, rounds=ROUNDS, runs=1)
    first = next(iter(found.values()))
    for name, latency in found.items():
        print("  " + row(name, latency, f"{latency.p50_ms / first.p50_ms:.2f} ×"))


def _sum(index: int) -> Callable[[Archs], Values]:
    per_choice = np.random.default_rng(index).uniform(0.5, 2, (SPACE.num_layers, int(SPACE.num_choices.max())))
    return lambda archs: np.asarray(per_choice[LAYERS, archs].sum(axis=1))


def _ours(strategy: StrategyFactory, free: tuple[bool, ...], budget: float | None = None) -> None:
    objectives = [Objective(f"o{i}", _sum(i), maximize=i == 0, free=is_free) for i, is_free in enumerate(free)]
    budgets = [] if budget is None else [Budget(objectives[-1].name, budget)]
    assert len(run_search(SPACE, objectives, budgets, strategy, EVALUATIONS).archs) == EVALUATIONS


def _pymoo(objectives: int, make: Callable[..., Any]) -> None:
    sums = [_sum(index) for index in range(objectives)]
    evaluated = 0

    class Sums(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            high = SPACE.num_choices - 1
            super().__init__(n_var=SPACE.num_layers, n_obj=objectives, xl=0, xu=high, vtype=int)

        def _evaluate(self, x: Archs, out: dict[str, Values], *_: object, **__: object) -> None:
            nonlocal evaluated
            evaluated += len(x)
            out["F"] = np.column_stack([fn(x.astype(np.int64)) for fn in sums])
            out["F"][:, 0] *= -1

    algorithm = make(
        sampling=IntegerRandomSampling(),
        crossover=UX(),
        mutation=PolynomialMutation(prob_var=1 / SPACE.num_layers, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Sums(), algorithm, ("n_eval", EVALUATIONS), seed=0)
    assert evaluated >= EVALUATIONS


if __name__ == "__main__":
    main()
