"""`search`: a strategy proposes archs, this evaluates, stores and counts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.errors import InputError
from hwnas.search.feasible import FeasibleRegion
from hwnas.search.front import Front
from hwnas.search.objective import Budget, Indices, Objective, Problem, Values
from hwnas.search.rank import hypervolume, non_dominated, worst
from hwnas.search.store import Store
from hwnas.search.strategy import StrategyFactory, get_strategy
from hwnas.search.vary import Seen
from hwnas.space.space import Archs, Space


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        evaluations: archs evaluated so far.
        total: archs that it may evaluate.
        hypervolume: of the archs within budget so far, measured from ``reference``; it never falls.
        reference: (K,) the worst values of the first batch.
    """

    evaluations: int
    total: int
    hypervolume: float
    reference: Values


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Everything a search evaluated.

    Attributes:
        problem: the space, objectives and budgets.
        archs: (M, L) in the order of evaluation, all different.
        values: (M, K) in the objectives' own signs and units.
        seed: of the search.
    """

    problem: Problem
    archs: Archs
    values: Values
    seed: int

    @property
    def front(self) -> Indices:
        """Ascending indices of the archs within budget that none within budget dominates; equals are all kept."""
        within = np.flatnonzero(self.problem.excess(self.values) <= 0)
        return within[non_dominated(self.values[within], self.problem.maximize)]

    def to_front(self, reference: npt.ArrayLike | None = None) -> Front:
        """The front on its own, as it is kept in a file.

        Args:
            reference: (K,) point from which hypervolume is measured, in the objectives' own signs and units; the
                worst value of each objective among all evaluated archs when None.

        Raises:
            InputError: the reference isn't K finite numbers.
        """
        return Front(
            space=self.problem.space.source,
            resolution=self.problem.space.resolution,
            classes=self.problem.space.classes,
            objective_names=tuple(objective.name for objective in self.problem.objectives),
            maximize=tuple(objective.maximize for objective in self.problem.objectives),
            budgets=self.problem.budgets,
            archs=self.archs[self.front],
            values=self.values[self.front],
            reference=self._nadir() if reference is None else self._checked(reference),
            evaluations=len(self.archs),
            seed=self.seed,
        )

    def _nadir(self) -> Values:
        return worst(self.values, self.problem.maximize)

    def _checked(self, reference: npt.ArrayLike) -> Values:
        point = np.asarray(reference, dtype=np.float64)
        if point.shape != (len(self.problem.objectives),) or not np.isfinite(point).all():
            raise InputError(f"a reference point is one finite number per objective, got {reference!r}")
        return point


def search(
    space: Space,
    objectives: Sequence[Objective],
    budgets: Sequence[Budget] = (),
    strategy: str | StrategyFactory = "nsga2",
    evaluations: int = 300,
    seed: int = 0,
    store: Store | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> SearchResult:
    """Search a space for the Pareto front of the objectives within the budgets.

    Objectives that aren't free are called with one arch at a time, (1, L), and each value is stored at once. A
    search that is run again with its store and seed goes on where it was killed, and a longer search of the same
    seed begins with the shorter one. Budgets on free objectives hold for every arch evaluated; budgets on others
    hold for the front.

    Args:
        space: where to search.
        objectives: K of them, with different names.
        budgets: upper bounds on minimised objectives.
        strategy: ``nsga2``, ``random``, the name of a plug-in, or what makes a strategy.
        evaluations: how many different archs may be given to the objectives that aren't free (to any objective,
            when all are free). Fewer are, when the space has no more within the budgets.
        seed: of all random draws.
        store: keeps the values of objectives that aren't free.
        progress: called after each batch of archs.

    Returns:
        Every evaluated arch with its values, and which of them are the front.

    Raises:
        ObjectiveError: two objectives of one name, or one that doesn't return a finite number per arch.
        BudgetError: a budget makes no sense, or no arch can meet it.
        InputError: unknown strategy, or a number or store that doesn't fit.
        OutputError: the store can't be written.
    """
    _check_count("evaluations", evaluations, 1)
    _check_count("seed", seed, 0)
    if store is not None and store.space.fingerprint != space.fingerprint:
        raise InputError(f"the store is of the space {store.space.name}, the search of {space.name}")
    make = get_strategy(strategy) if isinstance(strategy, str) else strategy
    problem = Problem(space, tuple(objectives), tuple(budgets))
    proposer = make(problem, FeasibleRegion(problem), np.random.default_rng(seed))
    reporter = _Reporter(problem, evaluations, progress)
    seen = Seen(space)
    archs = np.empty((0, space.num_layers), dtype=np.int64)
    values = np.empty((0, len(problem.objectives)))
    while len(archs) < evaluations:
        batch = seen.novel(space.check(proposer.ask(evaluations - len(archs))))
        if not len(batch):
            break
        seen.add(batch)
        batch_values = _evaluate(problem, batch, store)
        proposer.tell(batch, batch_values)
        archs, values = np.concatenate([archs, batch]), np.concatenate([values, batch_values])
        reporter.report(values)
    return SearchResult(problem, archs, values, seed)


def _check_count(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}, got {value!r}")


def _evaluate(problem: Problem, archs: Archs, store: Store | None) -> Values:
    """(N, K) values of (N, L) archs, an arch after the other where that costs something."""
    values = np.empty((len(archs), len(problem.objectives)))
    for column, objective in enumerate(problem.objectives):
        if objective.free:
            values[:, column] = objective.values(archs)
    for row, arch in enumerate(archs):
        for column, objective in enumerate(problem.objectives):
            if not objective.free:
                values[row, column] = _evaluate_one(objective, arch, store)
    return values


def _evaluate_one(objective: Objective, arch: Archs, store: Store | None) -> float:
    known = None if store is None else store.get(arch, objective.name)
    if known is not None:
        return known
    start = time.perf_counter()
    value = float(objective.values(arch[None])[0])
    seconds = time.perf_counter() - start
    return value if store is None else store.put(arch, objective.name, value, seconds)


class _Reporter:
    """Calls ``progress`` with a hypervolume whose reference point stays, so that the numbers can be compared."""

    def __init__(self, problem: Problem, total: int, progress: Callable[[SearchProgress], None] | None) -> None:
        self._problem, self._total, self._progress = problem, total, progress
        self._reference: Values | None = None

    def report(self, values: Values) -> None:
        if self._progress is None:
            return
        if self._reference is None:
            self._reference = worst(values, self._problem.maximize)
        within = values[self._problem.excess(values) <= 0]
        volume = hypervolume(within, self._reference, self._problem.maximize)
        self._progress(SearchProgress(len(values), self._total, volume, self._reference))
