"""NSGA-II (Deb et al., IEEE Trans. Evol. Comput. 6(2), 2002), with offspring spread over the free objectives.

The spread is the one addition. Of a new arch the free objectives are known before it is evaluated. So more children
are bred than are evaluated, and those are evaluated that lie far apart in the free objectives, which covers the
front evenly from the first generation on. Without free objectives, or with nothing else, it is plain NSGA-II.
"""

from __future__ import annotations

import numpy as np

from hwnas.search.feasible import FeasibleRegion
from hwnas.search.objective import Indices, Problem, Values
from hwnas.search.rank import rank_and_crowding, survivors
from hwnas.search.vary import Seen, mutate, spread, tournament, uniform_crossover
from hwnas.space.space import Archs

_BREEDING_ROUNDS = 10


class NSGA2:
    """Elitist, non-dominated sorting genetic algorithm that proposes every arch at most once.

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
        self._problem, self._region, self._rng = problem, region, rng
        self._population, self._crossover = population, crossover
        self._mutation = 0.5 / problem.space.num_layers if mutation is None else mutation
        self._spreads = 0 < len(problem.free) < len(problem.objectives)
        self._first_pool, self._pool = (first_pool, pool) if self._spreads else (1, 1)
        self._seen = Seen(problem.space)
        self._queue = self._archs = np.empty((0, problem.space.num_layers), dtype=np.int64)
        self._values = np.empty((0, len(problem.objectives)))

    def ask(self, count: int) -> Archs:
        """At most ``count`` archs of the current generation; the next one is bred when all of them were asked."""
        if not len(self._queue):
            candidates = self._breed() if len(self._archs) else self._sample()
            self._queue = self._fill(self._select(candidates))
        asked, self._queue = self._queue[:count], self._queue[count:]
        return asked

    def tell(self, archs: Archs, values: Values) -> None:
        """Add evaluated archs (N, L) with their values (N, K)."""
        self._archs = np.concatenate([self._archs, archs])
        self._values = np.concatenate([self._values, values])

    def _sample(self) -> Archs:
        """The candidates for the first generation."""
        return self._seen.novel(self._region.sample(self._first_pool * self._population, self._rng))

    def _breed(self) -> Archs:
        """Let the best survive, and breed candidates from them (§III-C): tournament, crossover, mutation, repair."""
        rank, crowding = self._survive()
        wanted = self._pool * self._population
        children = self._archs[:0]
        for _ in range(_BREEDING_ROUNDS):
            parents = self._archs[tournament(rank, crowding, 2 * wanted, self._rng)]
            crossed = uniform_crossover(parents[:wanted], parents[wanted:], self._crossover, self._rng)
            mutated = mutate(self._problem.space, crossed, self._mutation, self._rng)
            repaired = self._region.repair(mutated, self._rng)
            children = self._seen.novel(np.concatenate([children, repaired]))[:wanted]
            if len(children) == wanted:
                break
        return children

    def _survive(self) -> tuple[Indices, Values]:
        """Keep the best of parents and children; their ranks and crowding distances."""
        minimised, excess = self._problem.minimised(self._values), self._problem.excess(self._values)
        rank, crowding = rank_and_crowding(minimised, excess)
        best = survivors(rank, crowding, self._population)
        self._archs, self._values = self._archs[best], self._values[best]
        return rank[best], crowding[best]

    def _select(self, candidates: Archs) -> Archs:
        """At most a generation of the candidates, spread over the free objectives."""
        if not self._spreads or len(candidates) <= self._population:
            return candidates[: self._population]
        free = np.column_stack([objective.values(candidates) for objective in self._problem.free])
        return candidates[spread(free, self._population)]

    def _fill(self, generation: Archs) -> Archs:
        """The generation, remembered, and filled up with neighbours of what was seen where it is too small."""
        self._seen.add(generation)
        missing = self._population - len(generation)
        if missing:
            neighbours = self._seen.neighbours(self._region, missing, self._rng)
            self._seen.add(neighbours)
            generation = np.concatenate([generation, neighbours])
        return generation
