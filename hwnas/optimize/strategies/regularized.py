"""Regularized evolution (Real et al., AAAI 2019, Algorithm 1), for a single weighted objective."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from hwnas.arrays import Archs
from hwnas.optimize.pareto import weighted_rank
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.vary import mutate_one


@dataclass(eq=False, repr=False)
class RegularizedEvolution(BatchStrategy):
    """The best of a random sample of the population has a child with one layer changed; the oldest die.

    A child over a budget is repaired.

    Attributes:
        population: how many archs live; the first as many are random.
        sample: out of how many, drawn with replacement, the best becomes a parent.
        children: how many are bred at a time, that is before their values are known, and evaluated side by side; 1
            is Algorithm 1 to the letter.
    """

    _: KW_ONLY
    population: int = 20
    sample: int = 10
    children: int = 5

    def propose(self) -> Archs:
        """Random archs first, and again if none of them could be evaluated; then children of who lives."""
        if not len(self.archs):
            first = self.draw_new(lambda: self.region.sample(self.population, self.rng), self.population)
            return self.fill_up(first, self.population)
        self.archs, self.values = self.archs[-self.population :], self.values[-self.population :]
        rank = weighted_rank(self.problem, self.values)

        def bred() -> Archs:
            drawn = self.rng.integers(len(rank), size=(self.children, self.sample))
            parents = self.archs[drawn[np.arange(len(drawn)), np.argmin(rank[drawn], axis=1)]]
            return self.region.repair(mutate_one(self.problem.space, parents, self.rng), self.rng)

        return self.fill_up(self.draw_new(bred, self.children), self.children)
