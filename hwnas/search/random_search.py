"""Random search: feasible archs, uniformly, each once. The baseline that every other strategy must beat."""

from __future__ import annotations

import numpy as np

from hwnas.search.feasible import FeasibleRegion
from hwnas.search.objective import Problem, Values
from hwnas.search.vary import Seen
from hwnas.space.space import Archs

_DRAWN_AT_ONCE = 32


class RandomSearch:
    """Uniform sampling within budget without replacement; ends when the feasible archs are used up."""

    def __init__(self, problem: Problem, region: FeasibleRegion, rng: np.random.Generator) -> None:
        self._region = region
        self._rng = rng
        self._seen = Seen(problem.space)
        self._queue = np.empty((0, problem.space.num_layers), dtype=np.int64)

    def ask(self, count: int) -> Archs:
        """At most ``count`` new archs."""
        if not len(self._queue):
            self._queue = self._seen.novel(self._region.sample(_DRAWN_AT_ONCE, self._rng))
            if not len(self._queue):  # nearly all are seen by now, so look for the last ones
                self._queue = self._seen.neighbours(self._region, _DRAWN_AT_ONCE, self._rng)
            self._seen.add(self._queue)
        asked, self._queue = self._queue[:count], self._queue[count:]
        return asked

    def tell(self, archs: Archs, values: Values) -> None:
        """Nothing is learnt."""
