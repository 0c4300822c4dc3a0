"""`Genetic`: how NSGA-II and NSGA-III breed; who survives is what they differ in.

The spread over the free objectives is the one addition to the published algorithms. Of a new arch the free objectives
are known before it is evaluated. So more children are bred than are evaluated, and those are evaluated that lie far
apart in the free objectives, which covers the front evenly from the first generation on. Without free objectives, or
with nothing else, all children are evaluated.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

from hwnas.arrays import Archs, Indices, Values
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.vary import mutate, tournament, uniform_crossover

_CROSSOVER = 0.9  # probability that a child has two parents
_CHANGES = 0.5  # layers that change in a child on average: half of what Deb 2002 §IV-A takes
_FIRST_POOL, _POOL = 100, 4  # candidates per evaluated arch, in the first generation and in every later one


@dataclass(eq=False, repr=False)
class Genetic(BatchStrategy):
    """Elitist genetic algorithm that proposes every arch at most once.

    Attributes:
        population: archs that survive a generation, and archs evaluated in each.
    """

    _: KW_ONLY
    population: int = 20

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
        first_pool, pool = (_FIRST_POOL, _POOL) if self.problem.free and self.problem.paid else (1, 1)
        if len(self.archs):
            candidates = self._breed(pool * self.population)
        else:
            candidates = self.seen.novel(self.region.sample(first_pool * self.population, self.rng))
        return self.fill_up(self.spread_out(candidates, self.population), self.population)

    def _breed(self, count: int) -> Archs:
        """Let the best survive, and breed candidates from them: tournament, crossover, mutation, repair."""
        survivors, rank, ties = self.survive(self.problem.minimised(self.values), self.problem.excess(self.values))
        self.archs, self.values = self.archs[survivors], self.values[survivors]
        rate = _CHANGES / self.problem.space.num_layers

        def children() -> Archs:
            parents = self.archs[tournament(rank, ties, 2 * count, self.rng)]
            crossed = uniform_crossover(parents[:count], parents[count:], _CROSSOVER, self.rng)
            return self.region.repair(mutate(self.problem.space, crossed, rate, self.rng), self.rng)

        return self.draw_new(children, count)
