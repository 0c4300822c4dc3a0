"""Regularized evolution (Real et al., AAAI 2019, Algorithm 1), for a single weighted objective."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Archs
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.pareto import weighted_rank
from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.vary import mutate_one


class RegularizedEvolution(BatchStrategy):
    """The best of a random sample of the population has a child with one layer changed; the oldest die.

    Args:
        problem: objectives with their weights, and budgets.
        region: where the budgets on free objectives hold; a child outside is repaired.
        rng: where all random draws come from.
        population: how many archs live; the first as many are random.
        sample: out of how many, drawn with replacement, the best becomes a parent.
        children: how many are bred at a time, that is before their values are known, and evaluated side by side; 1
            is Algorithm 1 to the letter.
    """

    def __init__(
        self,
        problem: Problem,
        region: FeasibleRegion,
        rng: np.random.Generator,
        *,
        population: int = 20,
        sample: int = 10,
        children: int = 5,
    ) -> None:
        super().__init__(problem, region, rng)
        self._population, self._sample, self._children = population, sample, children

    def propose(self) -> Archs:
        """Random archs first, and again if none of them could be evaluated; then children of who lives."""
        if not len(self.archs):
            first = self.draw_new(lambda: self.region.sample(self._population, self.rng), self._population)
            return self.fill_up(first, self._population)
        self.archs, self.values = self.archs[-self._population :], self.values[-self._population :]
        rank = weighted_rank(self.problem, self.values)

        def bred() -> Archs:
            drawn = self.rng.integers(len(rank), size=(self._children, self._sample))
            parents = self.archs[drawn[np.arange(len(drawn)), np.argmin(rank[drawn], axis=1)]]
            return self.region.repair(mutate_one(self.problem.space, parents, self.rng), self.rng)

        return self.fill_up(self.draw_new(bred, self._children), self._children)
