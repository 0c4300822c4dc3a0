"""A trained supernet and latency tables -> a search folder: what ``search`` and ``demo`` both do.

settings.json        what was asked for, and hashes of the supernet and the tables
search.json          all evaluated archs and values, what failed, the front, the winner
front.json           the front alone
winner.json          the most accurate arch of the front, as an arch.json
table.yaml           the table, refitted, where the front was measured

Every evaluation is kept as it finishes, in ``evaluations.sqlite`` of the supernet's run folder: what one search
evaluated no other evaluates again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.cli.closing import close_search, measurable
from hwnas.cli.found import baseline_of, found_of, unit
from hwnas.cli.objectives import free_objectives, weighted
from hwnas.cli.progress_note import search_note
from hwnas.cli.tables import TableOption
from hwnas.errors import ConfigError, ModelError, OutputError
from hwnas.files import read_json, refuse_existing, to_json, write_atomic
from hwnas.optimize import STRATEGIES, Budget, FeasibleRegion, Objective, Problem, SearchProgress, Store
from hwnas.optimize import search as run_search
from hwnas.progress import Progress
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.workers.registry import get_workers

SCHEMA = "hwnas-search/1"


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What to search, for what.

    Attributes:
        supernet: run folder of a training.
        tables: devices and their budgets.
        evaluations, strategy, seed: of the search.
        objectives: costs beside accuracy and latency.
        limits: on costs; what is limited is an objective as well.
        weights: of objectives, for strategies that want a single number.
        store: file of the evaluations; in the run folder when None.
        workers: who evaluates; see :func:`get_workers`.
        baseline: whether as many random archs are evaluated, to compare with.
        measuring_s: how long a round of measuring the front here may take; it isn't measured when None.
    """

    supernet: Path
    tables: tuple[TableOption, ...]
    evaluations: int
    strategy: str
    seed: int
    objectives: tuple[str, ...] = ("madds",)
    limits: tuple[Budget, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    store: Path | None = None
    workers: str = "1"
    baseline: bool = False
    measuring_s: float | None = None


def search_supernet(
    settings: SearchSettings, output: Path, *, resume: bool = False, progress: Progress
) -> dict[str, Any]:
    """Search, and write the search folder; returns what ``search.json`` holds.

    Raises:
        OutputError: the output exists already (and isn't to be resumed), or it or the store can't be written.
        ConfigError: resumed with other settings, or unknown workers.
        InputError: an unknown strategy, or a store of another supernet.
        BudgetError: no arch was found to meet a budget.
        ObjectiveError: a weight of no objective, or too many evaluations failed.
        MissingOpError: a table isn't of the supernet's space.
        TableError, RuntimeMissingError: the front is to be measured, and no table is of this machine.
    """
    from hwnas.training.supernet_accuracy import SupernetAccuracy

    if not resume:
        refuse_existing(output)
    STRATEGIES.get(settings.strategy)
    if settings.measuring_s is not None:
        measurable(settings.tables)
    accuracy = SupernetAccuracy(settings.supernet)
    supernet = accuracy.trained.supernet
    space = supernet.space
    free = free_objectives(settings.tables, settings.objectives, settings.limits, space)
    objectives = weighted([Objective("accuracy", accuracy, maximize=True), *free.objectives], settings.weights)
    _ = FeasibleRegion(Problem(space, objectives, tuple(free.budgets))).anchor  # before anything is written
    asked = _asked(settings, space, accuracy.trained.sha256)
    path = settings.store or settings.supernet / "evaluations.sqlite"
    with closing(get_workers(settings.workers)) as workers, Store(path, space, accuracy.key) as store:
        _open_folder(output, {**asked, "store": str(path)}, resume)
        run = partial(
            run_search, space, objectives, free.budgets, evaluations=settings.evaluations, seed=settings.seed,
            store=store, workers=workers, resume=resume,
        )  # fmt: skip
        result = run(settings.strategy, progress=_shown(progress, "searching", objectives))
        found = {**asked, "evaluations": settings.evaluations, **found_of(result), "baseline": None, "closing": None}
        if settings.baseline:
            random = run("random", progress=_shown(progress, "random archs", objectives))
            found["baseline"] = baseline_of(random, found["reference"])
    front = result.to_front()
    if settings.measuring_s is not None:
        found["closing"], front = close_search(
            result, free.predicted, output, seconds=settings.measuring_s,
            seed=settings.seed, progress=progress,
        )  # fmt: skip
        found |= {key: found["closing"][key] for key in ("front", "winner")} | {"hypervolume": front.hypervolume}
    write_atomic(output / "front.json", to_json(front.to_dict()))
    if found["winner"] is not None:
        winner = Arch(space, tuple(found["archs"][found["winner"]]))
        write_atomic(output / "winner.json", to_json(winner.to_dict()))
    write_atomic(output / "search.json", to_json(found))
    return found


def _shown(progress: Progress, what: str, objectives: Sequence[Objective]) -> Callable[[SearchProgress], None]:
    units = [unit(objective.name) for objective in objectives]

    def show(at: SearchProgress) -> None:
        progress(what, at.evaluations, at.total, search_note(at.hypervolume, at.best, at.failed, units))

    return show


def _asked(settings: SearchSettings, space: ChainSpace, supernet_sha256: str) -> dict[str, Any]:
    """What decides the course of the search; its length may change when it is resumed."""
    return {
        "schema": SCHEMA,
        "space": {"source": space.source, "resolution": space.resolution, "classes": space.classes},
        "supernet": str(settings.supernet),
        "supernet_sha256": supernet_sha256,
        "tables": [
            {"path": str(option.path), "sha256": option.sha256, "budget_ms": option.budget_ms}
            for option in settings.tables
        ],
        "strategy": settings.strategy,
        "costs": list(settings.objectives),
        "limits": {limit.objective_name: limit.at_most for limit in settings.limits},
        "weights": dict(settings.weights),
        "seed": settings.seed,
    }


def _open_folder(output: Path, asked: dict[str, Any], resume: bool) -> None:
    path = output / "settings.json"
    if resume and path.exists():
        before = read_json(path, ModelError)
        changed = [key for key in asked if not isinstance(before, dict) or before.get(key) != asked[key]]
        if changed:
            raise ConfigError(f"{output} was begun with another {changed[0]}; resume with the same, or search anew")
        return
    try:
        output.mkdir(parents=True, exist_ok=resume)
    except OSError as error:
        raise OutputError(f"can't make {output}: {error.strerror}") from None
    write_atomic(path, to_json(asked))
