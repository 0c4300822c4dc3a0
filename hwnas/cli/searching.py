"""A trained supernet and latency tables -> a search folder: what ``search`` and ``demo`` both do.

settings.json        what was asked for, and hashes of the supernet and the tables
evaluations.sqlite   every evaluation, as it finished
search.json          all evaluated archs and values, the front, the winner
front.json           the front alone
winner.json          the most accurate arch of the front, as an arch.json
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.cli.console import Progress
from hwnas.cli.tables import TableOption
from hwnas.errors import ConfigError, ModelError, OutputError
from hwnas.files import read_json, refuse_existing, to_json, write_atomic
from hwnas.predict.latency import LatencyPredictor
from hwnas.predict.lowered import madds, params
from hwnas.search import Budget, FeasibleRegion, Objective, Problem, SearchProgress, SearchResult, Store, hypervolume
from hwnas.search import search as run_search
from hwnas.space.arch import Arch
from hwnas.space.space import Space

SCHEMA = "hwnas-search/1"

_COUNTERS = {"madds": madds, "params": params}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What to search, for what.

    Attributes:
        supernet: run folder of a training.
        tables: devices and their budgets.
        evaluations, strategy, seed: of the search.
        count: the objective beside accuracy and latency, ``madds`` or ``params``.
    """

    supernet: Path
    tables: tuple[TableOption, ...]
    evaluations: int
    strategy: str
    count: str
    seed: int


def search_supernet(
    settings: SearchSettings, output: Path, *, resume: bool = False, progress: Progress
) -> dict[str, Any]:
    """Search, and write the search folder; returns what ``search.json`` holds.

    Raises:
        OutputError: the output exists already (and isn't to be resumed), or can't be written.
        ConfigError: resumed with other settings, or an unknown counter.
        BudgetError: no arch can meet a budget.
        MissingOpError: a table isn't of the supernet's space.
    """
    from hwnas.train.evaluate import Evaluator
    from hwnas.train.run import load_supernet

    if settings.count not in _COUNTERS:
        raise ConfigError(f"the third objective is {' or '.join(_COUNTERS)}, got {settings.count!r}")
    if not resume:
        refuse_existing(output)
    trained = load_supernet(settings.supernet)
    space = trained.supernet.space
    objectives, budgets = _latency_objectives(settings.tables, space, trained.supernet.stabilizers)
    evaluator = Evaluator(trained.supernet, trained.data)
    counter = _COUNTERS[settings.count](space, stabilizers=trained.supernet.stabilizers)
    objectives = [
        Objective("accuracy", evaluator, maximize=True),
        *objectives,
        Objective(settings.count, counter, free=True),
    ]
    _ = FeasibleRegion(Problem(space, tuple(objectives), tuple(budgets))).anchor  # before anything is written
    asked = _asked(settings, space, trained.sha256)
    _open_folder(output, asked, resume)
    with Store(output / "evaluations.sqlite", space, f"{trained.sha256}") as store:
        result = run_search(
            space,
            objectives,
            budgets,
            strategy=settings.strategy,
            evaluations=settings.evaluations,
            seed=settings.seed,
            store=store,
            progress=lambda p: progress("searching", p.evaluations, p.total, _note(p)),
        )
    found = {**asked, "evaluations": settings.evaluations, **_found(result, settings)}
    write_atomic(output / "front.json", to_json(result.to_front().to_dict()))
    if found["winner"] is not None:
        winner = Arch(space, tuple(found["archs"][found["winner"]]))
        write_atomic(output / "winner.json", to_json(winner.to_dict()))
    write_atomic(output / "search.json", to_json(found))
    return found


def _note(progress: SearchProgress) -> str:
    return f"hypervolume {progress.hypervolume:.4g}"


def _latency_objectives(
    tables: tuple[TableOption, ...], space: Space, stabilizers: bool
) -> tuple[list[Objective], list[Budget]]:
    objectives, budgets = [], []
    for option in tables:
        name = "latency_ms" if len(tables) == 1 else f"latency_ms {option.path.stem}"
        predictor = LatencyPredictor(option.table, space, stabilizers=stabilizers)
        objectives.append(Objective(name, predictor.predict, free=True))
        if option.budget_ms is not None:
            budgets.append(Budget(name, option.budget_ms))
    return objectives, budgets


def _asked(settings: SearchSettings, space: Space, supernet_sha256: str) -> dict[str, Any]:
    """What decides the course of the search; its length may change when it is resumed."""
    return {
        "schema": SCHEMA,
        "space": {"source": space.source, "resolution": space.resolution, "classes": space.classes},
        "supernet": str(settings.supernet),
        "supernet_sha256": supernet_sha256,
        "tables": [
            {
                "path": str(option.path),
                "sha256": hashlib.sha256(option.table.to_yaml().encode()).hexdigest(),
                "budget_ms": option.budget_ms,
            }
            for option in settings.tables
        ],
        "strategy": settings.strategy,
        "count": settings.count,
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


def _found(result: SearchResult, settings: SearchSettings) -> dict[str, Any]:
    front = result.to_front()
    names = front.objective_names
    accuracy = result.values[:, names.index("accuracy")]
    winner = max(result.front.tolist(), key=lambda i: (accuracy[i], -result.values[i, 1]), default=None)
    return {
        "objectives": [
            {"name": name, "unit": _unit(name), "maximize": maximize}
            for name, maximize in zip(names, front.maximize, strict=True)
        ],
        "budgets": {b.objective_name: float(b.at_most) for b in front.budgets},
        "archs": result.archs.tolist(),
        "values": result.values.tolist(),
        "front": result.front.tolist(),
        "winner": winner,
        "reference": front.reference.tolist(),
        "hypervolume": front.hypervolume,
        "hypervolume_history": _history(result, front.reference),
    }


def _unit(name: str) -> str:
    return {"accuracy": "fraction"}.get(name, "ms" if name.startswith("latency_ms") else name)


def _history(result: SearchResult, reference: np.ndarray[Any, Any]) -> list[float]:
    within = result.problem.excess(result.values) <= 0
    return [
        float(hypervolume(result.values[:count][within[:count]], reference, result.problem.maximize))
        for count in range(1, len(result.values) + 1)
    ]
