"""`Limits`: the budgets on free objectives, and a grid of every arch within them and little else, to be drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

import numpy as np

from hwnas.arrays import Archs, Flags, Values
from hwnas.optimize.feasible.grid import CELLS, Grid, walk_of
from hwnas.optimize.problem import Objective, Problem, relative_excess, steps_of
from hwnas.space.transitions import Join, Steps

_LISTED = 2**16
"""So many archs can be listed and looked at one by one."""

_COARSE_CELLS = 2**10
_DRAWS_PER_ARCH = 20


@dataclass(frozen=True)
class Limit:
    """A budget, in the unit of its objective, and the objective's steps where these are known."""

    objective: Objective
    at_most: float
    steps: Steps | None

    @property
    def join(self) -> Join | None:
        """Whether it is known to be a sum, or a maximum."""
        return None if self.steps is None else self.steps.join

    def excess(self, archs: Archs) -> Values:
        """(N,) by which share of the budget (N, L) archs are over it."""
        return relative_excess(self.objective.values(archs), self.at_most)

    def __str__(self) -> str:
        return f"{self.objective.name} at most {self.at_most:.6g}"


class Limits:
    """All budgets on free objectives of a problem.

    The grid is of those that are sums: of two of them together, those that let the fewest archs through. Steps over a
    limit on a maximum aren't taken at all.

    Attributes:
        space: of the problem.
        all: the limits.
    """

    def __init__(self, problem: Problem) -> None:
        self.space = problem.space
        pairs = [(problem.objective(budget.objective_name), float(budget.at_most)) for budget in problem.budgets]
        self.all = tuple(Limit(o, at_most, steps_of(o.fn, self.space)) for o, at_most in pairs if o.free)
        known = (steps_of(objective.fn, self.space) for objective in problem.free)
        self._walk = walk_of(self.space, [steps for steps in known if steps is not None])

    def grid_of(self, limits: Sequence[Limit], cells: int = CELLS) -> Grid:
        """The grid of some limits: each sum is an axis of it, and what is over a maximum isn't on it."""
        sums: list[tuple[Steps, float]] = []
        allowed = np.ones(self._walk.shape, dtype=np.bool_)
        for limit in limits:
            if limit.steps and limit.join == "sum":
                sums.append((limit.steps, limit.at_most))
            elif limit.steps:
                allowed &= _steps_within(limit.steps, limit.at_most)
        return Grid(self.space, self._walk, [steps for steps, _ in sums], [most for _, most in sums], cells, allowed)

    @cached_property
    def grid(self) -> Grid:
        """Every arch within the limits is on it."""
        return self.grid_of([*self._binding[:2], *self._maxima])

    @property
    def complete(self) -> bool:
        """Whether the grid knows all limits; else the others have to be looked at arch by arch."""
        return all(limit.steps is not None for limit in self.all) and len(self._binding) <= 2

    @cached_property
    def space_listed(self) -> Archs | None:
        """All archs of the space (N, L), within the limits or not, where there are few enough to look at each."""
        if self.space.size > _LISTED:
            return None
        return np.stack(np.unravel_index(np.arange(self.space.size), self.space.num_choices), axis=1)

    @cached_property
    def listed(self) -> Archs | None:
        """All archs within the limits (N, L), where there are few enough candidates to look at each."""
        return self.within(self.grid.members(doubtful=False)) if self.grid.size <= _LISTED else None

    @cached_property
    def doubtful(self) -> Archs | None:
        """As ``listed``, those only of which the grid isn't certain."""
        few = self.grid.size - self.grid.certain <= _LISTED
        return self.within(self.grid.members(doubtful=True)) if few else None

    def contain(self, archs: Archs) -> Flags:
        """(N,) which of (N, L) archs are within all of them."""
        return self.largest_excess(archs) <= 0

    def within(self, archs: Archs) -> Archs:
        """Those of (N, L) archs."""
        return archs[self.contain(archs)]

    def largest_excess(self, archs: Archs) -> Values:
        """(N,) the largest of the relative excesses; positive exactly where an arch is over a budget."""
        largest = np.full(len(archs), -np.inf)
        for limit in self.all:
            largest = np.maximum(largest, limit.excess(archs))
        return largest

    def summed_excess(self, archs: Archs) -> Values:
        """(N,) the sum of the relative excesses, those below 0 as well."""
        return sum((limit.excess(archs) for limit in self.all), np.zeros(len(archs)))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Archs, Archs]:
        """Uniform draws with replacement, until ``count`` are within the limits or 20 times as many were drawn.

        Returns:
            Those within the limits (≤ count, L), and those that aren't (≥ 0, L).
        """
        if self.listed is not None and len(self.listed):
            return self.listed[rng.integers(0, len(self.listed), count)], self.listed[:0]
        inside, outside = [], []
        missing, drawn = count, 0
        while missing > 0 and (left := _DRAWS_PER_ARCH * count - drawn) > 0 and self.grid.size:
            found = (count - missing + 1) / (drawn + 1)
            archs = self.grid.draw(min(left, int(1.05 * missing / found) + 8), rng)
            within = self.contain(archs)
            inside.append(archs[within])
            outside.append(archs[~within])
            missing, drawn = missing - int(within.sum()), drawn + len(archs)
        none = np.empty((0, self.space.num_layers), dtype=np.int64)
        return np.concatenate([none, *inside])[:count], np.concatenate([none, *outside])

    @cached_property
    def _binding(self) -> list[Limit]:
        """The limits on sums that may keep an arch out, the tightest first."""
        sums = [limit for limit in self.all if limit.join == "sum"]
        everything = self.grid_of(self._maxima, cells=_COARSE_CELLS).size
        sizes = [self.grid_of([limit, *self._maxima], cells=_COARSE_CELLS).certain for limit in sums]
        by_size = sorted(zip(sizes, sums, strict=True), key=itemgetter(0))
        return [limit for size, limit in by_size if size < everything]

    @property
    def _maxima(self) -> list[Limit]:
        return [limit for limit in self.all if limit.join == "max"]


def _steps_within(largest: Steps, at_most: float) -> Flags:
    """(L, C, S) which steps a walk may take so that its largest is at most that; what joins at the end is one too."""
    within: Flags = largest.costs <= at_most
    within[0] &= largest.end[largest.states[0]] <= at_most
    return within
