"""Seconds to count the archs within a budget and to draw from them, beside rejection of draws from the whole space.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/feasible.py

Rejection needs 1/share draws for each arch; at a tight budget, where it would take days, that is worked out from the
time that it takes for draws and predictions, as said in the note.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from common import machine, row, side_by_side

from hwnas.arrays import Archs
from hwnas.optimize import Budget, FeasibleRegion, Objective, Problem
from hwnas.prediction.costs import params
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

DRAWS = 10_000


def main() -> None:
    space = get_space("scarlet-s2")
    table = LatencyTable.load(next(shipped("latency_tables").glob("*/scarlet-s2-224-onnxruntime-fp32-1t.yaml")))
    print(f"{machine()}, scarlet-s2, 1 thread; {DRAWS:,} draws")
    for stabilizers in (False, True):
        kept = space.inheriting() if stabilizers else space
        predictor = LatencyPredictor(table, kept)
        latency = Objective("latency_ms", predictor, free=True)
        size = Objective("params", params(kept), free=True)
        for budgets in ([9.0], [7.0], [5.0], [8.0, 6e6]):
            problem = Problem(space, (latency, size), tuple(map(Budget, ("latency_ms", "params"), budgets)))
            count = FeasibleRegion(problem).count()
            calls: dict[str, Callable[[], object]] = {
                "count": partial(_count, problem),
                "draws": partial(_draw, problem),
                "both": partial(_both, problem),
                "rejection": partial(_reject, space, problem),
            }
            measured = side_by_side(calls, rounds=7, runs=1)
            asked = " and ".join(f"{budget.objective_name} at most {budget.at_most:g}" for budget in problem.budgets)
            print(f"{asked}{', stabilizers kept' if stabilizers else ''}")
            print(f"  {count.count:.5g} archs ({count.low:.5g} to {count.high:.5g}), {100 * count.share:.3g} % of all")
            print(row("  build and count", measured["count"]))
            print(row("  build and draw", measured["draws"], f"{100 * count.acceptance:.2f} % accepted"))
            print(row("  build, count and draw", measured["both"]))
            ratio = measured["rejection"].p50_ms / count.share / measured["draws"].p50_ms
            print(row("  draws from the space, looked at", measured["rejection"], f"{ratio:,.3g} × for as many within"))


def _count(problem: Problem) -> None:
    FeasibleRegion(problem).count()


def _draw(problem: Problem) -> Archs:
    return FeasibleRegion(problem).sample(DRAWS, np.random.default_rng(0))


def _both(problem: Problem) -> None:
    region = FeasibleRegion(problem)
    region.count()
    region.sample(DRAWS, np.random.default_rng(0))


def _reject(space: ChainSpace, problem: Problem) -> None:
    archs = space.sample(DRAWS, np.random.default_rng(0))
    for budget in problem.budgets:
        archs = archs[problem.objective(budget.objective_name).values(archs) <= budget.at_most]


if __name__ == "__main__":
    main()
