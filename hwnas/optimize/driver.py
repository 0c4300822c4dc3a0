"""`run_search`: a strategy proposes archs, this evaluates, stores and counts them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import InputError, whole
from hwnas.optimize.evaluate import Evaluation
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.progress import Reporter, SearchProgress
from hwnas.optimize.result import SearchResult
from hwnas.optimize.store import Store
from hwnas.optimize.strategies import STRATEGIES, StrategyFactory
from hwnas.optimize.strategies.parts.vary import Seen
from hwnas.space.space import Space
from hwnas.workers.base import Workers
from hwnas.workers.registry import Here


@checked
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

    Raises:
        ObjectiveError: two objectives of one name, a free one that doesn't return a finite number per arch, or too
            many failures of the others.
        BudgetError: a budget makes no sense, or no arch was found that meets it.
        InputError: unknown strategy, a number or store that doesn't fit, or a resumed search that takes another
            course, as by another version of NumPy.
        OutputError: the store can't be written.
    """
    evaluations, seed = whole("evaluations", evaluations, 1), whole("seed", seed)
    if store is not None and store.space.fingerprint != space.fingerprint:
        raise InputError(f"the store is of the space {store.space.name}, the search of {space.name}")
    if isinstance(strategy, str):
        name, make = strategy, STRATEGIES.get(strategy)
    else:
        name, make = getattr(strategy, "__qualname__", type(strategy).__qualname__), strategy
    problem, rng = Problem(space, tuple(objectives), tuple(budgets)), np.random.default_rng(seed)
    proposer = make(problem, FeasibleRegion(problem), rng)
    record = None
    if store is not None and problem.paid:
        tables = {objective.name: objective.source for objective in objectives if objective.source}
        record = store.begin(name, seed, _settings(problem), tables, resume=resume)
    reporter = Reporter(problem, evaluations, progress)
    evaluate = Evaluation(problem, record, workers or Here(), reporter.evaluated)
    course, seen = hashlib.sha256(), Seen(space)
    archs, values = [np.empty((0, space.num_layers), dtype=np.int64)], [np.empty((0, len(objectives)))]
    while evaluate.evaluated < evaluations:
        if record:
            so_far = course.copy()
            so_far.update(json.dumps(rng.bit_generator.state).encode())
            record.check_course(evaluate.evaluated, so_far.hexdigest()[:16])
        batch = seen.novel(space.canonical(space.check(proposer.ask(evaluations - evaluate.evaluated))))
        if not len(batch):
            break
        seen.add(batch)
        course.update(batch.astype("<i8").tobytes())
        told = evaluate(batch)
        proposer.tell(*told)
        reporter.told(told[1])
        archs.append(told[0])
        values.append(told[1])
        reporter.report(evaluate.evaluated, evaluate.failed)
    evaluate.judge(evaluate.evaluated)
    failures = tuple(evaluate.failures)
    return SearchResult(problem, np.concatenate(archs), np.concatenate(values), seed, failures, name)


def _settings(problem: Problem) -> str:
    """Beside strategy and seed, what decides the course of a search."""
    objectives = [[o.name, o.maximize, o.free, o.weight, o.source] for o in problem.objectives]
    budgets = [[budget.objective_name, float(budget.at_most)] for budget in problem.budgets]
    return json.dumps({"objectives": objectives, "budgets": budgets})
