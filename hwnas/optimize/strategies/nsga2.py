"""NSGA-II (Deb et al., IEEE Trans. Evol. Comput. 6(2), 2002)."""

from __future__ import annotations

from hwnas.arrays import Indices, Values
from hwnas.optimize.pareto import rank_and_crowding, survivors
from hwnas.optimize.strategies.parts.genetic import Genetic


class NSGA2(Genetic):
    """Elitist non-dominated sorting: the best by rank survive, and of one rank the least crowded (§III)."""

    def survive(self, minimised: Values, excess: Values) -> tuple[Indices, Indices, Values]:
        """Survivors with their ranks and crowding distances (§III-C)."""
        rank, crowding = rank_and_crowding(minimised, excess)
        best = survivors(rank, crowding, self.population)
        return best, rank[best], crowding[best]
