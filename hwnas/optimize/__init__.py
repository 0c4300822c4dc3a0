"""Search: the Pareto front of any objectives on a space, within budgets.

It sees callables and arrays, never a network::

    top1 = Objective("top1", supernet_top1, maximize=True)
    latency = Objective("latency_ms", predictor, free=True)
    with Store("evaluations.sqlite", space, supernet_hash) as store:
        result = run_search(space, [top1, latency], [Budget("latency_ms", 9.5)], evaluations=300, store=store)
    result.archs[result.front]
"""

from __future__ import annotations

from hwnas.optimize.driver import run_search
from hwnas.optimize.feasible import Extreme, FeasibleCount, FeasibleRegion
from hwnas.optimize.pareto import hypervolume
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.progress import SearchProgress
from hwnas.optimize.result import SearchResult
from hwnas.optimize.store import Store
from hwnas.optimize.strategies import STRATEGIES, StrategyFactory

__all__ = [
    "STRATEGIES",
    "Budget",
    "Extreme",
    "FeasibleCount",
    "FeasibleRegion",
    "Objective",
    "Problem",
    "SearchProgress",
    "SearchResult",
    "Store",
    "StrategyFactory",
    "hypervolume",
    "run_search",
]
