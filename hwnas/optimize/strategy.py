"""`Strategy`: what proposes archs. The driver evaluates them; a strategy never does.

A strategy is made by a callable ``(problem, region, rng) -> Strategy``, and all its random draws come from ``rng``.
Outsiders register theirs as an entry point of the group ``hwnas.strategies``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import InputError
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies.guided import Guided
from hwnas.optimize.strategies.hill import HillClimbing
from hwnas.optimize.strategies.nsga2 import NSGA2
from hwnas.optimize.strategies.nsga3 import NSGA3
from hwnas.optimize.strategies.random import RandomSearch
from hwnas.optimize.strategies.regularized import RegularizedEvolution
from hwnas.plugins import load_plugin, plugin_names


class Strategy(Protocol):
    """Ask and tell, in turn.

    What is proposed may depend on what was told and on the random draws, but not on how many archs were asked for
    at a time: then a longer search begins with the shorter one, and any number of workers can ask. An evaluation may
    fail. Then the arch isn't told, not even if that leaves none, and isn't proposed again either.
    :class:`hwnas.testing.StrategyContract` has the tests.
    """

    def ask(self, count: int) -> Archs:
        """At most ``count`` archs (≤ count, L), none of them proposed before, all of them in the region.

        None at all says that there are no more.
        """

    def tell(self, archs: Archs, values: Values) -> None:
        """The values (N, K), in the objectives' own sign, of (N, L) archs: those of the last ``ask``, in its order,
        that could be evaluated."""


StrategyFactory = Callable[[Problem, FeasibleRegion, np.random.Generator], Strategy]

_BUILT_IN: dict[str, StrategyFactory] = {
    "guided": Guided,
    "nsga2": NSGA2,
    "nsga3": NSGA3,
    "regularized": RegularizedEvolution,
    "hill": HillClimbing,
    "random": RandomSearch,
}
_PLUGINS = "hwnas.strategies"


def strategy_names() -> tuple[str, ...]:
    """Every strategy that has a name: the built-in ones and those of installed plug-ins."""
    return (*_BUILT_IN, *plugin_names(_PLUGINS))


def get_strategy(name: str) -> StrategyFactory:
    """What makes the strategy of that name.

    Raises:
        InputError: unknown name.
    """
    make = _BUILT_IN.get(name) or load_plugin(_PLUGINS, name)
    if make is None:
        raise InputError(f"no strategy {name!r}; known: {', '.join(strategy_names())}")
    factory: StrategyFactory = make
    return factory
