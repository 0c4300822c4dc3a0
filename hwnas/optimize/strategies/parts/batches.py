"""`BatchStrategy`: what strategies that think in batches have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies.parts.vary import Seen, spread

_DRAWS = 10


@dataclass(eq=False, repr=False)
class BatchStrategy(ABC):
    """Thinks up a batch of archs when all of the last one were asked for, and hands it out in parts.

    So what is proposed doesn't depend on how many archs are asked for at a time. A subclass says what a batch is.

    Attributes:
        problem: objectives with their weights, and budgets.
        region: where the budgets on free objectives hold; every proposal is in it.
        rng: where all random draws come from.
        archs: (N, L) what was told and is still of use; a subclass drops from it what isn't.
        values: (N, K) their values, in the objectives' own signs.
        seen: everything proposed so far.
    """

    problem: Problem
    region: FeasibleRegion
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.seen = Seen(self.problem.space)
        self.archs = self._queue = np.empty((0, self.problem.space.num_layers), dtype=np.int64)
        self.values = np.empty((0, len(self.problem.objectives)))

    @abstractmethod
    def propose(self) -> Archs:
        """The next batch: (N, L) new archs of the region, none when no more are found."""

    def ask(self, count: int) -> Archs:
        """At most ``count`` archs of the current batch."""
        if not len(self._queue):
            self._queue = self.propose()
            self.seen.add(self._queue)
        asked, self._queue = self._queue[:count], self._queue[count:]
        return asked

    def tell(self, archs: Archs, values: Values) -> None:
        """Add evaluated archs (N, L) with their values (N, K)."""
        self.archs = np.concatenate([self.archs, archs])
        self.values = np.concatenate([self.values, values])

    def draw_new(self, draw: Callable[[], Archs], count: int) -> Archs:
        """(≤ count, L) archs that weren't proposed yet, out of what ten calls of ``draw`` give."""
        found = self.seen.novel(draw())[:count]
        for _ in range(_DRAWS - 1):
            if len(found) == count:
                break
            found = self.seen.novel(np.concatenate([found, draw()]))[:count]
        return found

    def spread_out(self, archs: Archs, count: int) -> Archs:
        """At most ``count`` of (N, L) archs, which lie far apart in the free objectives; without these, the first."""
        if len(archs) <= count or not self.problem.free:
            return archs[:count]
        return archs[spread(self.problem.free_values(archs), count)]

    def fill_up(self, batch: Archs, count: int) -> Archs:
        """The batch, and new neighbours of what was proposed where it has fewer than ``count`` archs.

        So a strategy whose own means find nothing new still visits all within reach before it ends; see
        :meth:`Seen.neighbours`.
        """
        missing = count - len(batch)
        if missing <= 0:
            return batch
        self.seen.add(batch)
        return np.concatenate([batch, self.seen.neighbours(self.region, missing, self.rng)])
