"""Search strategies: a file each, and a line here. Outsiders register theirs as entry points ``hwnas.strategies``."""

from __future__ import annotations

from hwnas.errors import InputError
from hwnas.optimize.strategy import StrategyFactory
from hwnas.registry import Registry

STRATEGIES = Registry[StrategyFactory](
    "hwnas.strategies",
    "strategy",
    {
        "guided": "hwnas.optimize.strategies.guided:Guided",
        "nsga2": "hwnas.optimize.strategies.nsga2:NSGA2",
        "nsga3": "hwnas.optimize.strategies.nsga3:NSGA3",
        "regularized": "hwnas.optimize.strategies.regularized:RegularizedEvolution",
        "hill": "hwnas.optimize.strategies.hill:HillClimbing",
        "random": "hwnas.optimize.strategies.random:RandomSearch",
    },
    InputError,
)
