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


@dataclass(eq=False, repr=False)
class Genetic(BatchStrategy):
    """Elitist genetic algorithm that proposes every arch at most once.

    Attributes:
        population: archs that survive a generation, and archs evaluated in each.
        crossover: probability that a child has two parents.
        mutation: probability that a layer changes; 1/(2L) when None, half of what Deb 2002 §IV-A takes.
        first_pool, pool: from how many candidates per evaluated one the first generation, and every later one,
            is spread over the free objectives.
    """

    _: KW_ONLY
    population: int = 20
    crossover: float = 0.9
    mutation: float | None = None
    first_pool: int = 100
    pool: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._mutation = 0.5 / self.problem.space.num_layers if self.mutation is None else self.mutation
        if not (self.problem.free and self.problem.paid):
            self.first_pool = self.pool = 1

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
        if len(self.archs):
            candidates = self._breed()
        else:
            candidates = self.seen.novel(self.region.sample(self.first_pool * self.population, self.rng))
        return self.fill_up(self.spread_out(candidates, self.population), self.population)

    def _breed(self) -> Archs:
        """Let the best survive, and breed candidates from them: tournament, crossover, mutation, repair."""
        survivors, rank, ties = self.survive(self.problem.minimised(self.values), self.problem.excess(self.values))
        self.archs, self.values = self.archs[survivors], self.values[survivors]
        wanted = self.pool * self.population

        def children() -> Archs:
            parents = self.archs[tournament(rank, ties, 2 * wanted, self.rng)]
            crossed = uniform_crossover(parents[:wanted], parents[wanted:], self.crossover, self.rng)
            return self.region.repair(mutate(self.problem.space, crossed, self._mutation, self.rng), self.rng)

        return self.draw_new(children, wanted)
