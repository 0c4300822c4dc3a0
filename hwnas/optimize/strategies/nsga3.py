"""NSGA-III (Deb & Jain, IEEE Trans. Evol. Comput. 18(4), 2014), for four objectives and more.

There nearly nobody is dominated, and crowding distances say little. So those survive that lie nearest to directions
spread evenly over the objectives.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hwnas.arrays import Indices, Values
from hwnas.optimize.rank import constrained_rank
from hwnas.optimize.strategies.genetic import Genetic
from hwnas.optimize.strategies.niching import Niches
from hwnas.optimize.strategies.reference_directions import reference_directions


class NSGA3(Genetic):
    """Survival along reference directions, of which there are as many as the population affords."""

    @cached_property
    def _niches(self) -> Niches:
        return Niches(reference_directions(len(self.problem.objectives), self.population))

    def survive(self, minimised: Values, excess: Values) -> tuple[Indices, Indices, Values]:
        """Survivors (Algorithm 1); between two within budget a tournament is a toss (Jain & Deb 2014 §III)."""
        rank, within = constrained_rank(minimised, excess), excess <= 0
        if within.any():
            self._niches.normalise(minimised[within], minimised[rank == 0])
        best = self._best(minimised, rank, within)
        return best, np.where(within, 0, rank)[best], np.zeros(len(best))

    def _best(self, minimised: Values, rank: Indices, within: np.typing.NDArray[np.bool_]) -> Indices:
        order = np.argsort(rank, kind="stable")
        if len(order) <= self.population or not within[order[self.population]]:
            return order[: self.population]
        cut = rank[order[self.population]]
        certain, last = order[rank[order] < cut], order[rank[order] == cut]
        wanted = self.population - len(certain)
        return np.concatenate(
            [certain, last[self._niches.choose(minimised[certain], minimised[last], wanted, self.rng)]]
        )
