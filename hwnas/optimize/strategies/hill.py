"""Hill climbing with random restarts, for a single weighted objective."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from hwnas.arrays import Archs
from hwnas.optimize.pareto import weighted_rank
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.vary import single_changes


@dataclass(eq=False, repr=False)
class HillClimbing(BatchStrategy):
    """Walks uphill from arch to arch, a layer at a time, and begins elsewhere where no neighbour is better.

    A neighbour over a budget is repaired, so that a step up a budget can be paid for in another layer.

    Attributes:
        at_once: how many neighbours are evaluated, in random order, before it moves to the best of them if that is
            better; 1 moves to the first better one. As many random archs are evaluated at each start.
    """

    _: KW_ONLY
    at_once: int = 4
    _neighbours: Archs | None = field(default=None, init=False)  # that are left of where it stands, once it looked

    def propose(self) -> Archs:
        """Neighbours of where it stands, or where there are none left, random archs."""
        if len(self.archs):
            best = int(np.argmin(weighted_rank(self.problem, self.values)))  # the first of equals: it stays
            self.archs, self.values = self.archs[[best]], self.values[[best]]
            if best > 0 or self._neighbours is None:
                near = self.rng.permutation(single_changes(self.problem.space, self.archs))
                self._neighbours = self.seen.novel(self.region.repair(near, self.rng))
            if len(self._neighbours):
                batch, self._neighbours = self._neighbours[: self.at_once], self._neighbours[self.at_once :]
                return batch
        self.archs, self.values, self._neighbours = self.archs[:0], self.values[:0], None
        start = self.draw_new(lambda: self.region.sample(self.at_once, self.rng), self.at_once)
        return self.fill_up(start, self.at_once)
