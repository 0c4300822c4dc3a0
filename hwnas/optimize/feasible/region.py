"""`FeasibleRegion`: the archs within the budgets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs
from hwnas.optimize.feasible.anchor import find_anchor
from hwnas.optimize.feasible.candidates import Candidates
from hwnas.optimize.feasible.count import FeasibleCount, count_within
from hwnas.optimize.feasible.extremes import Extreme, extremes
from hwnas.optimize.feasible.limits import Limits
from hwnas.optimize.feasible.repair import repair
from hwnas.optimize.problem import Objective, Problem


class FeasibleRegion:
    """The archs within all budgets on free objectives.

    Objectives whose ``fn`` is :class:`~hwnas.optimize.problem.Separable` say how they add up, decision by decision, as
    counts and latency predictors do; what is said about these is exact but for a stated discretisation error. A limit
    on a maximum, such as :class:`~hwnas.prediction.lowered.LayerMax`, bars choices, which adds no error. All others are
    asked arch by arch.

    Args:
        problem: the space, objectives and budgets.

    Attributes:
        problem, space: what it is a region of.
        anchor: (L,) an arch within all of them.

    Raises:
        BudgetError: no arch is within the budgets, or none was found, or a budget is 1,000 times what the space costs.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space = problem.space
        self._limits = Limits(problem)
        self._candidates = Candidates(self._limits)
        self.anchor = find_anchor(self._limits, self._candidates)

    def contains(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """(N,) which of (N, L) archs are within the budgets."""
        return self._limits.contain(archs)

    @property
    def listed(self) -> Archs | None:
        """All archs within the budgets (N, L), where there are few enough to look at each."""
        return self._candidates.listed

    def count(self) -> FeasibleCount:
        """How many archs there are."""
        return count_within(self._candidates, self.space.size)

    def extremes(self, objective: Objective) -> tuple[Extreme, Extreme]:
        """The archs that have the least and the most of one of the problem's free objectives."""
        return extremes(self._candidates, self.anchor, objective)

    def sample(self, count: int, rng: np.random.Generator) -> Archs:
        """``count`` archs within budget, with replacement: (count, L).

        Uniform, by draws from the grid and rejection of what is over after all; without budgets, and with one on a sum,
        next to nothing is rejected. Where more than 19 in 20 are (:class:`FeasibleCount` tells the share), what is
        missing is repaired, so that this ends however rarely the other budgets are met.
        """
        if not self._limits.all:
            return self.space.sample(count, rng)
        inside, outside = self._candidates.draw(count, rng)
        return np.concatenate([inside, self.repair(outside[: count - len(inside)], rng)])

    def repair(self, archs: Archs, rng: np.random.Generator) -> Archs:
        """(N, L) archs, those over a budget changed in as few random layers as can be found until they are within."""
        return repair(self._limits, self.anchor, archs, rng)
