"""`Limits`: the budgets on free objectives, and which of these are known to be sums over layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible.grid import walk_of
from hwnas.optimize.problem import Budget, Objective, Problem, relative_excess, steps_of
from hwnas.space.space import Space
from hwnas.space.transitions import Join, Steps


@dataclass(frozen=True)
class Limit:
    """A budget with its objective, and the objective's steps where these are known to make a sum, or a maximum."""

    objective: Objective
    budget: Budget
    steps: Steps | None
    largest: Steps | None

    @property
    def at_most(self) -> float:
        """The budget, in the objective's unit."""
        return float(self.budget.at_most)

    def excess(self, archs: Archs) -> Values:
        """(N,) by which share of the budget (N, L) archs are over it."""
        return relative_excess(self.objective.values(archs), self.budget)

    def __str__(self) -> str:
        return f"{self.objective.name} at most {self.at_most:.6g}"


class Limits:
    """All budgets on free objectives of a problem.

    Attributes:
        space: of the problem.
        all: the limits.
        walk: (L, C, S) states that serve every free objective that is known to be a sum or a maximum.
        allowed: (L, C, S) whether a step of the walk is within the limits on maxima.
    """

    def __init__(self, problem: Problem) -> None:
        self.space = problem.space
        pairs = [(problem.objective(budget.objective_name), budget) for budget in problem.budgets]
        self.all = tuple(
            Limit(o, b, joined(o, self.space, "sum"), joined(o, self.space, "max")) for o, b in pairs if o.free
        )
        known = (steps_of(objective.fn, self.space) for objective in problem.free)
        self.walk = walk_of(self.space, [steps for steps in known if steps is not None])
        self.allowed = np.ones(self.walk.shape, dtype=np.bool_)
        for limit in self.all:
            if limit.largest is not None:
                self.allowed &= steps_within(limit.largest, limit.at_most)

    def contain(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """(N,) which of (N, L) archs are within all of them."""
        return self.largest_excess(archs) <= 0

    def largest_excess(self, archs: Archs) -> Values:
        """(N,) the largest of the relative excesses; positive exactly where an arch is over a budget."""
        largest = np.full(len(archs), -np.inf)
        for limit in self.all:
            largest = np.maximum(largest, limit.excess(archs))
        return largest

    def summed_excess(self, archs: Archs) -> Values:
        """(N,) the sum of the relative excesses, those below 0 as well."""
        return sum((limit.excess(archs) for limit in self.all), np.zeros(len(archs)))


def joined(objective: Objective, space: Space, join: Join) -> Steps | None:
    """An objective's steps, where these are known and joined in that way."""
    steps = steps_of(objective.fn, space)
    return steps if steps is not None and steps.join == join else None


def steps_within(largest: Steps, at_most: float) -> npt.NDArray[np.bool_]:
    """(L, C, S) which steps a walk may take so that its largest is at most that; what joins at the end is one too."""
    within: npt.NDArray[np.bool_] = largest.costs <= at_most
    within[0] &= largest.end[largest.states[0]] <= at_most
    return within
