"""`run_search`: a strategy proposes archs, this evaluates, stores and counts them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Indices, Values
from hwnas.errors import InputError
from hwnas.optimize.evaluate import Evaluation
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.front import Front, FrontBudget, FrontObjective, FrontPoint
from hwnas.optimize.pareto import hypervolume, non_dominated, worst
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.progress import Reporter, SearchProgress
from hwnas.optimize.search_record import record_of, settings_of
from hwnas.optimize.store import Forgotten, Store, StoredSearch
from hwnas.optimize.strategies import STRATEGIES
from hwnas.optimize.strategies.parts.vary import Seen
from hwnas.optimize.strategy import StrategyFactory
from hwnas.records.search import SearchRecord
from hwnas.space.space import Space
from hwnas.workers.base import Workers
from hwnas.workers.registry import Here


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Everything a search evaluated.

    Attributes:
        problem: the space, objectives and budgets.
        archs: (M, L) those that could be evaluated, in their order, all different.
        values: (M, K) in the objectives' own signs and units.
        seed: of the search.
        failed: archs (L,) that couldn't be evaluated, each with the reason; they aren't among ``archs``.
        strategy: name of what proposed them.
    """

    problem: Problem
    archs: Archs
    values: Values
    seed: int
    failed: tuple[tuple[Archs, str], ...] = ()
    strategy: str = "unknown"

    @property
    def front(self) -> Indices:
        """Ascending indices of the archs within budget that none within budget dominates; equals are all kept."""
        within = np.flatnonzero(self.problem.excess(self.values) <= 0)
        return within[non_dominated(self.values[within], self.problem.maximize)]

    def to_front(
        self, reference: npt.ArrayLike | None = None, *, rows: Indices | None = None, values: Values | None = None
    ) -> Front:
        """The front on its own, as it is kept in a file.

        Args:
            reference: (K,) point from which hypervolume is measured, in the objectives' own signs and units; the
                worst value of each objective among all evaluated archs when None.
            rows: indices of the archs that are on it; those of ``front`` when None.
            values: (M, K) in place of those as searched, where more is known now.

        Raises:
            InputError: the reference isn't K finite numbers.
        """
        problem, rows = self.problem, self.front if rows is None else rows
        points = (self.values if values is None else values)[rows]
        origin = worst(self.values, problem.maximize) if reference is None else self._checked(reference)
        return Front(
            space=problem.space.ref,
            objectives=tuple(FrontObjective(name=o.name, maximize=o.maximize) for o in problem.objectives),
            budgets=tuple(FrontBudget(objective=b.objective_name, at_most=float(b.at_most)) for b in problem.budgets),
            evaluations=len(self.archs) + len(self.failed),
            seed=self.seed,
            reference=tuple(origin.tolist()),
            hypervolume=hypervolume(points, origin, problem.maximize),
            points=tuple(
                FrontPoint(choices=tuple(arch), values=tuple(its))
                for arch, its in zip(self.archs[rows].tolist(), points.tolist(), strict=True)
            ),
        )

    @property
    def winner(self) -> int | None:
        """Index of the front's best in the first objective, of equals in the second; None without a front."""
        minimised = self.problem.minimised(self.values)[:, :2].tolist()
        return min(self.front.tolist(), key=lambda index: minimised[index], default=None)

    def hypervolume_history(self, reference: npt.ArrayLike) -> tuple[float, ...]:
        """Hypervolume, from a reference point (K,), of the archs within budget after each that was evaluated."""
        minimised, origin = self.problem.minimised(self.values), self.problem.minimised(np.asarray(reference))
        minimise = [False] * len(self.problem.objectives)
        front = minimised[:0]
        volume, history = 0.0, []
        for row, over in zip(minimised, self.problem.excess(self.values) > 0, strict=True):
            if not over and not (front <= row).all(axis=1).any():  # else the front stays as it is
                front = np.concatenate([front, row[None]])
                front = front[non_dominated(front, minimise)]
                volume = hypervolume(front, origin, minimise)
            history.append(volume)
        return tuple(history)

    def to_record(self) -> SearchRecord:
        """All of it as a record that can be saved, reported and derived from; it knows of no supernet and no table."""
        return record_of(self, settings_of(self.problem, self.strategy, self.seed))

    def _checked(self, reference: npt.ArrayLike) -> Values:
        point = np.asarray(reference, dtype=np.float64)
        if point.shape != (len(self.problem.objectives),) or not np.isfinite(point).all():
            raise InputError(f"a reference point is one finite number per objective, got {reference!r}")
        return point


def run_search(
    space: Space,
    objectives: Sequence[Objective],
    budgets: Sequence[Budget] = (),
    strategy: str | StrategyFactory = "nsga2",
    evaluations: int = 300,
    seed: int = 0,
    store: Store | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    *,
    workers: Workers | None = None,
    resume: bool = False,
) -> SearchResult:
    """Search a space for the Pareto front of the objectives within the budgets.

    Objectives that aren't free are called with one arch at a time, (1, L), and each value is stored at once. A
    search that is run again with its store and seed goes on where it was killed, and a longer search of the same
    seed begins with the shorter one. Workers are given a batch at a time, so how many there are and in which order
    they finish changes nothing. Budgets on free objectives hold for every arch evaluated; budgets on others hold for
    the front.

    An arch for which an objective raises or gives no finite number is recorded and left out, and counts as
    evaluated. When more than a fifth fail, and that of 10 or more or of all, the search ends.

    Args:
        space: where to search.
        objectives: K of them, with different names.
        budgets: upper bounds on minimised objectives.
        strategy: one of the names in ``STRATEGIES``, or what makes a strategy.
        evaluations: how many different archs may be given to the objectives that aren't free (to any objective,
            when all are free). Fewer are, when the strategy finds no more within the budgets.
        seed: of all random draws.
        store: keeps the values of objectives that aren't free.
        progress: called after each batch of archs, and as each of them is finished.
        workers: who calls objectives that aren't free; this process when None.
        resume: go on with the latest search of the same settings in the store, if there is one: what failed in it
            stands, and its course must be the same. Without, what failed is tried again.

    Returns:
        Every evaluated arch with its values, and which of them are the front.

    Raises:
        ObjectiveError: two objectives of one name, a free one that doesn't return a finite number per arch, or too
            many failures of the others.
        BudgetError: a budget makes no sense, or no arch was found that meets it.
        InputError: unknown strategy, a number or store that doesn't fit, or a resumed search that takes another
            course, as by another version of NumPy.
        OutputError: the store can't be written.
    """
    _check_count("evaluations", evaluations, 1)
    _check_count("seed", seed, 0)
    if store is not None and store.space.fingerprint != space.fingerprint:
        raise InputError(f"the store is of the space {store.space.name}, the search of {space.name}")
    make = STRATEGIES.get(strategy) if isinstance(strategy, str) else strategy
    problem = Problem(space, tuple(objectives), tuple(budgets))
    name, rng = _name_of(strategy), np.random.default_rng(seed)
    proposer = make(problem, FeasibleRegion(problem), rng)
    record: StoredSearch | Forgotten = Forgotten()
    if store is not None and problem.paid:
        tables = {objective.name: objective.source for objective in objectives if objective.source}
        record = store.begin(name, seed, _settings(problem), tables, resume=resume)
    reporter = Reporter(problem, evaluations, progress)
    evaluate = Evaluation(problem, record, workers or Here(), reporter.report)
    course, seen = _Course(rng), Seen(space)
    archs, values = [np.empty((0, space.num_layers), dtype=np.int64)], [np.empty((0, len(objectives)))]
    while evaluate.evaluated < evaluations:
        record.check_course(evaluate.evaluated, course.digest())
        batch = seen.novel(space.check(proposer.ask(evaluations - evaluate.evaluated)))
        if not len(batch):
            break
        seen.add(batch)
        course.add(batch)
        told = evaluate(batch)
        proposer.tell(*told)
        reporter.told(told[1])
        archs.append(told[0])
        values.append(told[1])
        reporter.report(evaluate.evaluated, evaluate.failed)
    evaluate.judge(evaluate.evaluated)
    failures = tuple(evaluate.failures)
    return SearchResult(problem, np.concatenate(archs), np.concatenate(values), seed, failures, name)


class _Course:
    """What a search did so far, in short: its archs, and the state of its random generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._archs = hashlib.sha256()

    def add(self, archs: Archs) -> None:
        self._archs.update(archs.astype("<i8").tobytes())

    def digest(self) -> str:
        course = self._archs.copy()
        course.update(json.dumps(self._rng.bit_generator.state).encode())
        return course.hexdigest()[:16]


def _name_of(strategy: str | StrategyFactory) -> str:
    return strategy if isinstance(strategy, str) else getattr(strategy, "__qualname__", type(strategy).__qualname__)


def _settings(problem: Problem) -> str:
    """Beside strategy and seed, what decides the course of a search."""
    objectives = [[o.name, o.maximize, o.free, o.weight, o.source] for o in problem.objectives]
    budgets = [[budget.objective_name, float(budget.at_most)] for budget in problem.budgets]
    return json.dumps({"objectives": objectives, "budgets": budgets})


def _check_count(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}, got {value!r}")
