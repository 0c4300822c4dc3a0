"""Search: the Pareto front of any objectives on a space, within budgets.

It sees callables and arrays, never a network::

    top1 = Objective("top1", supernet_top1, maximize=True)
    latency = Objective("latency_ms", predictor.predict, free=True)
    with Store("evaluations.sqlite", space, supernet_hash) as store:
        result = search(space, [top1, latency], [Budget("latency_ms", 9.5)], evaluations=300, store=store)
    result.archs[result.front]
"""

from __future__ import annotations

import sys
from types import ModuleType

from hwnas.search.closing import Closing, Meter, close_loop
from hwnas.search.driver import SearchResult, search
from hwnas.search.feasible import Extreme, FeasibleCount, FeasibleRegion, fastest
from hwnas.search.front import Front
from hwnas.search.objective import Budget, Objective, Problem
from hwnas.search.progress import SearchProgress
from hwnas.search.rank import hypervolume, non_dominated
from hwnas.search.store import Store
from hwnas.search.strategy import Strategy, StrategyFactory, get_strategy, strategy_names

__all__ = [
    "Budget",
    "Closing",
    "Extreme",
    "FeasibleCount",
    "FeasibleRegion",
    "Front",
    "Meter",
    "Objective",
    "Problem",
    "SearchProgress",
    "SearchResult",
    "Store",
    "Strategy",
    "StrategyFactory",
    "close_loop",
    "fastest",
    "get_strategy",
    "hypervolume",
    "non_dominated",
    "search",
    "strategy_names",
]


class _CallablePackage(ModuleType):
    """``hwnas.search(…)`` is the function, also after an import has put this package in its place in ``hwnas``."""

    __call__ = staticmethod(search)


sys.modules[__name__].__class__ = _CallablePackage
