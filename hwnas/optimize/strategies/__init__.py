"""`Strategy`: what proposes archs. The driver evaluates them; a strategy never does.

Each is a file here, and a line in `STRATEGIES`. Outsiders register theirs as entry points ``hwnas.strategies``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import InputError
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Problem
from hwnas.registry import Registry


class Strategy(Protocol):
    """Ask and tell, in turn.

    What is proposed may depend on what was told and on the random draws, but not on how many archs were asked for
    at a time: then a longer search begins with the shorter one, and any number of workers can ask. An evaluation may
    fail. Then the arch isn't told, not even if that leaves none, and isn't proposed again either.
    :class:`hwnas.testing.StrategyContract` has the tests.
    """

    def ask(self, count: int) -> Archs:
        """At most ``count`` archs (≤ count, L), none of them proposed before, all of them in the region.

        None at all says that it finds no more.
        """

    def tell(self, archs: Archs, values: Values) -> None:
        """The values (N, K), in the objectives' own sign, of (N, L) archs: those of the last ``ask``, in its order,
        that could be evaluated."""


StrategyFactory = Callable[[Problem, FeasibleRegion, np.random.Generator], Strategy]
"""``(problem, region, rng) -> Strategy``: all random draws come from ``rng``."""

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
