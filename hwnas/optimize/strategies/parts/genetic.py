"""`Genetic`: how NSGA-II and NSGA-III breed; who survives is what they differ in.

The spread over the free objectives is the one addition to the published algorithms. Of a new arch the free objectives
are known before it is evaluated. So more children are bred than are evaluated, and those are evaluated that lie far
apart in the free objectives, which covers the front evenly from the first generation on. Without free objectives, or
with nothing else, all children are evaluated.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hwnas.arrays import Archs, Indices, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.features import free_values
from hwnas.optimize.strategies.parts.vary import mutate, spread, tournament, uniform_crossover


class Genetic(BatchStrategy):
    """Elitist genetic algorithm that proposes every arch at most once.

    Args:
        problem: objectives and budgets.
        region: where the budgets on free objectives hold; every proposal is in it.
        rng: where all random draws come from.
        population: archs that survive a generation, and archs evaluated in each.
        crossover: probability that a child has two parents.
        mutation: probability that a layer changes; 1/(2L) when None, half of what Deb 2002 §IV-A takes.
        first_pool, pool: from how many candidates per evaluated one the first generation, and every later one,
            is spread over the free objectives.
    """

    def __init__(
        self,
        problem: Problem,
        region: FeasibleRegion,
        rng: np.random.Generator,
        *,
        population: int = 20,
        crossover: float = 0.9,
        mutation: float | None = None,
        first_pool: int = 100,
        pool: int = 4,
    ) -> None:
        super().__init__(problem, region, rng)
        self.population, self._crossover = population, crossover
        self._mutation = 0.5 / problem.space.num_layers if mutation is None else mutation
        self._spreads = 0 < len(problem.free) < len(problem.objectives)
        self._first_pool, self._pool = (first_pool, pool) if self._spreads else (1, 1)

    @abstractmethod
    def survive(self, minimised: Values, excess: Values) -> tuple[Indices, Indices, Values]:
        """Choose who lives on.

        Args:
            minimised: (N, K) values of parents and children, all minimised.
            excess: (N,) by how much they are over the budgets.

        Returns:
            (M,) who survives, at most ``population``; and what their tournaments are decided by: (M,) ranks, of
            which the lower wins, and (M,) what the larger of wins between equal ranks.
        """

    def propose(self) -> Archs:
        """The next generation; the first one again where nothing of it could be evaluated."""
        candidates = self._breed() if len(self.archs) else self._sample()
        return self.fill_up(self._select(candidates), self.population)

    def _sample(self) -> Archs:
        """The candidates for the first generation."""
        return self.seen.novel(self.region.sample(self._first_pool * self.population, self.rng))

    def _breed(self) -> Archs:
        """Let the best survive, and breed candidates from them: tournament, crossover, mutation, repair."""
        survivors, rank, ties = self.survive(self.problem.minimised(self.values), self.problem.excess(self.values))
        self.archs, self.values = self.archs[survivors], self.values[survivors]
        wanted = self._pool * self.population

        def children() -> Archs:
            parents = self.archs[tournament(rank, ties, 2 * wanted, self.rng)]
            crossed = uniform_crossover(parents[:wanted], parents[wanted:], self._crossover, self.rng)
            return self.region.repair(mutate(self.problem.space, crossed, self._mutation, self.rng), self.rng)

        return self.draw_new(children, wanted)

    def _select(self, candidates: Archs) -> Archs:
        """At most a generation of the candidates, spread over the free objectives."""
        if not self._spreads or len(candidates) <= self.population:
            return candidates[: self.population]
        return candidates[spread(free_values(self.problem, candidates), self.population)]
