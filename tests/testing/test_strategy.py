"""The contract suite itself: a strategy with a fault must fail the test that is about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies import StrategyFactory
from hwnas.optimize.strategies.nsga2 import NSGA2
from hwnas.optimize.strategies.random import RandomSearch
from hwnas.testing import StrategyContract
from hwnas.testing.strategy import FAILURES, PROBLEMS

Call = Callable[[StrategyContract, StrategyFactory], None]
_BUDGETED = PROBLEMS["a budget on a free cost"]
_FREE_COST = PROBLEMS["a free cost"]


class Repeats(RandomSearch):
    """Forgets what it proposed."""

    def propose(self) -> Archs:
        return self.region.sample(32, self.rng)


class Oversteps(RandomSearch):
    """Looks at no budget."""

    def propose(self) -> Archs:
        return self.seen.novel(self.problem.space.sample(32, self.rng))


class Eager(NSGA2):
    """Breeds anew whenever it was told something."""

    def tell(self, archs: Archs, values: Values) -> None:
        super().tell(archs, values)
        self._queue = self._queue[:0]


class Generous(RandomSearch):
    """Hands out more than it is asked for."""

    def ask(self, count: int) -> Archs:
        return super().ask(count + 1)


class GlobalDraws(RandomSearch):
    """Draws from numpy's global state."""

    def propose(self) -> Archs:
        return self.seen.novel(self.problem.space.sample(32, np.random.randint(2**31)))


class OwnSeed(RandomSearch):
    """Always the same search."""

    def __init__(self, problem: Problem, region: FeasibleRegion, rng: np.random.Generator) -> None:
        super().__init__(problem, region, np.random.default_rng(0))


class Trusting(NSGA2):
    """Takes for granted that whatever it proposed could be evaluated."""

    def propose(self) -> Archs:
        if len(self.seen.neighbours(self.region, 1, np.random.default_rng(0))):  # something was proposed
            assert len(self.values) >= self.population
        return super().propose()


class GivesUp(RandomSearch):
    """Ends as soon as it draws nothing new."""

    def fill_up(self, batch: Archs, count: int) -> Archs:
        return batch


class Restless(RandomSearch):
    """Ends, and begins again."""

    def propose(self) -> Archs:
        proposed = super().propose()
        self.seen = self.seen if len(proposed) else type(self.seen)(self.problem.space)
        return proposed


class OneSided(NSGA2):
    """Takes all objectives for minimised ones."""

    def propose(self) -> Archs:
        self.problem = _Minimised(self.problem.space, self.problem.objectives, self.problem.budgets)
        return super().propose()


class _Minimised(Problem):
    def minimised(self, values: Values) -> Values:
        return values


class Evaluates(NSGA2):
    """Evaluates what isn't free."""

    def propose(self) -> Archs:
        proposed = super().propose()
        self.problem.objectives[0].values(proposed)
        return proposed


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (Repeats, lambda c, s: c.test_proposes_feasible_archs_once_each(s, _BUDGETED)),
        (Oversteps, lambda c, s: c.test_proposes_feasible_archs_once_each(s, _BUDGETED)),
        (Evaluates, lambda c, s: c.test_proposes_feasible_archs_once_each(s, _FREE_COST)),
        (Generous, lambda c, s: c.test_how_many_are_asked_for_at_a_time_changes_nothing(s, _FREE_COST)),
        (Eager, lambda c, s: c.test_how_many_are_asked_for_at_a_time_changes_nothing(s, _FREE_COST)),
        (GlobalDraws, lambda c, s: c.test_all_random_draws_come_from_its_generator(s, _FREE_COST)),
        (OwnSeed, lambda c, s: c.test_all_random_draws_come_from_its_generator(s, _FREE_COST)),
        *(
            (Trusting, lambda c, s, f=f: c.test_copes_with_failed_evaluations(s, _FREE_COST, f))
            for f in FAILURES.values()
        ),
        (GivesUp, lambda c, s: c.test_proposes_all_of_what_is_feasible_and_ends(s, 11.5, FAILURES["all"])),
        (Restless, lambda c, s: c.test_proposes_all_of_what_is_feasible_and_ends(s, 8, FAILURES["all"])),
        (OneSided, lambda c, s: c.test_maximising_is_minimising_the_negative(s, _FREE_COST)),
    ],
)
def test_a_fault_is_found(fault: Any, test: Call) -> None:
    sound = next(base for base in fault.__mro__ if base in (NSGA2, RandomSearch))
    test(StrategyContract(), sound)
    with pytest.raises(AssertionError):
        test(StrategyContract(), fault)
