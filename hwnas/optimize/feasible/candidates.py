"""`Candidates`: every arch within the budgets and little else, to be counted, listed and drawn from."""

from __future__ import annotations

from functools import cached_property
from math import inf

import numpy as np

from hwnas.arrays import Archs
from hwnas.optimize.feasible.grid import CELLS, Grid
from hwnas.optimize.feasible.limits import Limit, Limits
from hwnas.optimize.problem import Objective

_LISTED = 2**16
"""So many archs can be listed and looked at one by one."""

_COARSE_CELLS = 2**10
_DRAWS_PER_ARCH = 20


class Candidates:
    """The grid of the limits that are sums: of two of them together, those that let the fewest archs through.

    Steps over a limit on a maximum aren't taken at all.

    Attributes:
        grid: every arch within the limits is on it.
        limited: whether there is any limit.
        complete: whether the grid knows all limits; else the others have to be looked at arch by arch.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.space = limits.space

    @cached_property
    def grid(self) -> Grid:
        return self._grid_of(self._binding[:2], CELLS)

    @property
    def limited(self) -> bool:
        return bool(self._limits.all)

    @property
    def complete(self) -> bool:
        known = all(limit.steps is not None or limit.largest is not None for limit in self._limits.all)
        return known and len(self._binding) <= 2

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

    def within(self, archs: Archs) -> Archs:
        """Those of (N, L) archs that are within the limits."""
        return archs[self._limits.contain(archs)]

    def at_most(self, objective: Objective) -> float:
        """The objective's limit; infinite when there is none."""
        return min((limit.at_most for limit in self._limits.all if limit.objective == objective), default=inf)

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
            within = self._limits.contain(archs)
            inside.append(archs[within])
            outside.append(archs[~within])
            missing, drawn = missing - int(within.sum()), drawn + len(archs)
        none = np.empty((0, self.space.num_layers), dtype=np.int64)
        return np.concatenate([none, *inside])[:count], np.concatenate([none, *outside])

    @cached_property
    def _binding(self) -> list[Limit]:
        """The limits on sums that may keep an arch out, the tightest first."""
        known = [limit for limit in self._limits.all if limit.steps is not None]
        sizes = {limit.objective.name: self._grid_of([limit], _COARSE_CELLS).certain for limit in known}
        everything = self._grid_of([], _COARSE_CELLS).size
        binding = [limit for limit in known if sizes[limit.objective.name] < everything]
        return sorted(binding, key=lambda limit: sizes[limit.objective.name])

    def _grid_of(self, limits: list[Limit], cells: int) -> Grid:
        sums = [limit.steps for limit in limits if limit.steps is not None]
        at_most = [limit.at_most for limit in limits]
        return Grid(self.space, self._limits.walk, sums, at_most, cells, self._limits.allowed)
