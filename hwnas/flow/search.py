"""``search``: the Pareto front of accuracy, latency and other costs within budgets.

A search of a trained supernet makes a folder:

settings.json        what was asked for, and hashes of the supernet and the tables
search.json          all evaluated archs and values, what failed, the front, the winner
front.json           the front alone
winner.json          the best arch of the front, as an arch.json
table.yaml           the table, refitted, where the front was measured
priced-NAME.yaml     the space's ops by a table of kernels, where one was given

Every evaluation is kept as it finishes, in ``evaluations.sqlite`` of the supernet's run folder: what one search
evaluated no other evaluates again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import ConfigError, HwnasWarning, ObjectiveError, counted, whole
from hwnas.evaluation.interval import plus_minus, wilson
from hwnas.files import refuse_existing, to_json, write_atomic
from hwnas.flow.feasible import free_objectives, weighted
from hwnas.flow.measured_front import measurable, measure_front_of
from hwnas.flow.open import Tables, open_budgeted
from hwnas.optimize.driver import run_search
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.progress import SearchProgress
from hwnas.optimize.result import SearchResult, settings_of, unit_of
from hwnas.optimize.store import Store
from hwnas.optimize.strategies import STRATEGIES, StrategyFactory
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress, say
from hwnas.records.search import SearchedSupernet, SearchedTable, SearchRecord, SearchSettings
from hwnas.records.train import Run, run_folder
from hwnas.reporting.units import shown
from hwnas.space.registry import SPACES, get_space
from hwnas.space.space import Space
from hwnas.workers.base import Workers
from hwnas.workers.registry import get_workers


@overload
def search(
    of: Space,
    objectives: Sequence[Objective],
    budgets: Sequence[Budget] = (),
    strategy: str | StrategyFactory = "nsga2",
    evaluations: int = 300,
    seed: int = 0,
    *,
    store: Store | None = None,
    workers: Workers | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> SearchResult: ...


@overload
def search(
    of: Run,
    objectives: Sequence[str] = ("madds",),
    budgets: Sequence[Budget] = (),
    strategy: str = "nsga2",
    evaluations: int = 300,
    seed: int = 0,
    *,
    tables: Tables,
    output: Path | str,
    weights: Mapping[str, float] | None = None,
    store: Path | str | None = None,
    workers: str = "1",
    baseline: bool = False,
    measuring_s: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> SearchRecord: ...


@checked
def search(
    of: Space | Run,
    objectives: Sequence[Any] = ("madds",),
    budgets: Sequence[Budget] = (),
    strategy: Any = "nsga2",
    evaluations: int = 300,
    seed: int = 0,
    *,
    tables: Tables = (),
    output: Path | str | None = None,
    weights: Mapping[str, float] | None = None,
    store: Any = None,
    workers: Any = None,
    baseline: bool = False,
    measuring_s: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> SearchResult | SearchRecord:
    """Search a space for the front of any objectives, or a trained supernet for that of accuracy, latency and costs.

    Args:
        of: the space, or the training that gave the supernet.
        objectives: of a space, any callables; of a supernet, costs beside accuracy and latency, see
            :data:`hwnas.flow.feasible.COSTS`.
        budgets: upper bounds on objectives; a cost that is limited is an objective as well.
        strategy: one of the names in ``STRATEGIES``; for a space also what makes a strategy.
        evaluations: how many different archs, at most.
        seed: of all random draws.
        tables: of the devices, each alone or with the budget in ms there.
        output: the search folder to make.
        weights: of objectives, for strategies that want a single number; accuracy has 1, everything else 0.
        store: keeps evaluations: a `Store`; for a supernet its file, in the run folder when None.
        workers: who evaluates: `Workers`; for a supernet what :func:`hwnas.workers.registry.get_workers` takes.
        baseline: also evaluate as many random archs, to compare with.
        measuring_s: measure the front here, each round at most so many seconds; it isn't measured when None.
        resume: go on with a search that was stopped.
        progress: called while it works.

    Returns:
        Of a space, a `SearchResult`, whose ``to_record()`` can be saved, reported and derived from; of a supernet the
        `SearchRecord` itself.

    Raises:
        OutputError: the output exists already (and isn't to be resumed), or it or the store can't be written.
        ConfigError: resumed with other settings, unknown workers, or two tables of one name.
        InputError: an unknown strategy, or a store of another supernet.
        BudgetError: a budget makes no sense, or no arch was found to meet it.
        ObjectiveError: an unknown cost, a weight of no objective, or too many evaluations failed.
        MissingOpError: a table isn't of the supernet's space.
        TableError, RuntimeMissingError: the front is to be measured, and no table is of this machine.
    """
    if isinstance(of, Space):
        if wrong := [each for each in objectives if not isinstance(each, Objective)]:
            raise ObjectiveError(
                f"the search of a space takes Objectives, got {wrong[0]!r:.80}; Objective('latency_ms', "
                "LatencyPredictor(table, space), free=True) is one, tables= are for the search of a trained supernet"
            )
        of_supernets = {"tables": tables, "output": output, "weights": weights, "measuring_s": measuring_s}
        if unfit := [name for name, value in of_supernets.items() if value is not None and value != ()]:
            raise ConfigError(f"{unfit[0]}= is for the search of a trained supernet, not of a space; leave it out")
        if baseline:
            raise ConfigError("baseline= is for the search of a trained supernet; of a space search with 'random' too")
        if isinstance(workers, int | str):
            raise ConfigError(f"workers= of a search of a space are Workers: get_workers({str(workers)!r}) makes them")
        if resume and store is None:
            raise ConfigError("resume= goes on with a search that a store= keeps; give its Store")
        told = _told_by(progress, "searching", objectives)
        return run_search(
            of, objectives, budgets, strategy, evaluations, seed, store, told, workers=workers, resume=resume
        )
    if any(isinstance(each, Objective) for each in objectives) or of in SPACES.names():
        raise ConfigError(
            f"{of!s} is read as the run folder of a trained supernet; for a space give get_space({str(of)!r})"
        )
    run = run_folder(of)
    devices = open_budgeted(tables, partial(_space_of, run))
    if output is None or not devices:
        raise ConfigError("a search of a supernet takes tables of the devices and an output folder")
    evaluations, seed = whole("evaluations", evaluations, 1), whole("seed", seed)
    from hwnas.training.trained import SupernetAccuracy  # loads torch

    folder = Path(output)
    devices = [replace(d, path=folder / f"priced-{d.name}.yaml") if d.through_kernels else d for d in devices]
    if not resume:
        refuse_existing(folder, "settings.json")
    make = STRATEGIES.get(strategy)
    if measuring_s is not None:
        Effort(at_most_s=measuring_s)
        measurable(devices)
    accuracy = SupernetAccuracy(run)
    space = accuracy.trained.supernet.space
    free = free_objectives(devices, objectives, budgets, space)
    accurate = Objective("accuracy", accuracy, maximize=True, within=(0.0, 1.0))
    problem = Problem(space, weighted([accurate, *free.objectives], weights or {}), tuple(free.budgets))
    region = FeasibleRegion(problem)
    _ = region.anchor, make(problem, region, np.random.default_rng(seed))  # before anything is written
    path = Path(store or run / "evaluations.sqlite")
    asked = settings_of(
        problem, strategy, seed,
        supernet=SearchedSupernet(
            run=run.absolute(), sha256=accuracy.trained.sha256, images=accuracy.images
        ),
        tables=[
            SearchedTable(
                name=each.name, path=each.path and each.path.absolute(), sha256=each.sha256,
                device=str(each.table.device), budget_ms=each.budget_ms, interpolated=interpolated,
            )
            for each, interpolated in zip(devices, free.interpolated, strict=True)
        ],
        predicted=free.predicted, store=path.absolute(),
    )  # fmt: skip
    begun = folder / "settings.json"
    if resume and begun.exists() and (changed := asked.changed(SearchSettings.read(begun))):
        raise ConfigError(f"{folder} was begun with another {changed}; resume with the same, or search anew")
    if resume and not begun.exists():
        say(f"nothing to resume in {folder}, begins anew")
    for doubt in accuracy.doubts:
        say(doubt)
    with closing(get_workers(workers or "1")) as pool, Store(path, space, accuracy.key) as kept:
        if not begun.exists():
            asked.write(begun)
            for each in devices:
                if each.through_kernels and each.path:
                    each.table.save(each.path)

        def run_it(strategy: str | StrategyFactory, what: str) -> SearchResult:
            return run_search(
                space, problem.objectives, problem.budgets, strategy, evaluations, seed, kept,
                _told_by(progress, what, problem.objectives), workers=pool, resume=resume,
            )  # fmt: skip

        result = run_it(strategy, "searching")
        random = run_it("random", "random archs") if baseline else None
    found, front = result.to_record(asked, random), result.to_front()
    if measuring_s is not None:
        found, front = measure_front_of(
            found, result, devices, folder, seconds=measuring_s, seed=seed, progress=progress
        )
    front.write(folder / "front.json")
    if found.winner is not None:
        write_atomic(folder / "winner.json", to_json(found.winner.to_dict()))
    found.write(folder / "search.json")
    if remark := hardly_apart(found):
        warnings.warn(remark, HwnasWarning, stacklevel=3)
    return found


def _space_of(run: Path) -> Space:
    """Of a supernet's networks."""
    from hwnas.training.trained import read_supernet_info  # loads torch

    return get_space(read_supernet_info(run).space)


def hardly_apart(found: SearchRecord) -> str | None:
    """That the accuracies of the front lie within the interval of the best, where they do: their order is chance."""
    images = found.accuracy_images
    if not images or len(found.front) < 2:
        return None
    accuracies = found.values[list(found.front), 0]
    least, most = float(accuracies.min()), float(accuracies.max())
    if least < wilson(most, images)[0]:
        return None
    return (
        f"the front's accuracies, {least:.2%} to {most:.2%}, lie within what "
        f"{counted(images, 'validation image')} can tell apart ({plus_minus(most, images)}): their order "
        "says little; hold more images out (held_out), or compare the best after training them by themselves"
    )


def _told_by(
    progress: Progress | None, what: str, objectives: Sequence[Objective]
) -> Callable[[SearchProgress], None] | None:
    if progress is None:
        return None
    units = [unit_of(objective.name) for objective in objectives]

    def tell(at: SearchProgress) -> None:
        progress(what, at.evaluations, at.total, search_note(at, units))

    return tell


def search_note(at: SearchProgress, units: Sequence[str]) -> str:
    """``hypervolume 0.4123  best 91.20 % at 7.91 ms  failed 2``, of (K,) values in these units.

    Of the arch within budget that is best in the first objective, that and the latencies are told; ``first archs``
    until there is something to tell.
    """
    parts = [f"hypervolume {at.hypervolume:.4g}"]
    if at.reference is None:  # what is within budget is known when the first batch is finished
        parts = ["first archs"]
    elif at.best is None:
        parts.append("nothing within budget yet")
    else:
        first, *others = (shown(float(value), unit) for value, unit in zip(at.best, units, strict=True))
        latencies = [text for text, unit in zip(others, units[1:], strict=True) if unit == "ms"]
        parts.append(f"best {first}{' at ' if latencies else ''}{', '.join(latencies)}")
    if at.failed:
        parts.append(f"failed {at.failed}")
    return "  ".join(parts).replace("\N{NO-BREAK SPACE}", " ")
