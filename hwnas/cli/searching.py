"""A trained supernet and latency tables -> a search folder: what ``search`` and ``demo`` both do.

settings.json        what was asked for, and hashes of the supernet and the tables
evaluations.sqlite   every evaluation, as it finished
search.json          all evaluated archs and values, the front, the winner
front.json           the front alone
winner.json          the most accurate arch of the front, as an arch.json
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.cli.console import Progress
from hwnas.cli.tables import TableOption
from hwnas.errors import BudgetError, ConfigError, ModelError, OutputError
from hwnas.files import read_json, refuse_existing, to_json, write_atomic
from hwnas.predict.latency import LatencyPredictor
from hwnas.predict.lowered import Values, madds, params
from hwnas.predict.memory import model_mb, peak_activation_mb
from hwnas.search import Budget, FeasibleRegion, Objective, Problem, SearchProgress, SearchResult, Store, hypervolume
from hwnas.search import search as run_search
from hwnas.space.arch import Arch
from hwnas.space.space import Archs, Space

SCHEMA = "hwnas-search/1"

COUNTERS = ("madds", "params")
LIMITED = (*COUNTERS, "model_mb", "peak_activation_mb")


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What to search, for what.

    Attributes:
        supernet: run folder of a training.
        tables: devices and their budgets.
        evaluations, strategy, seed: of the search.
        count: the objective beside accuracy and latency, ``madds`` or ``params``.
        limits: other costs and how high they may be; what is limited is an objective as well.
    """

    supernet: Path
    tables: tuple[TableOption, ...]
    evaluations: int
    strategy: str
    count: str
    seed: int
    limits: tuple[Budget, ...] = ()


def parse_limits(texts: list[str]) -> tuple[Budget, ...]:
    """``NAME=AT_MOST`` as a person types it.

    Raises:
        BudgetError: not that form, an unknown name, or not a positive number.
    """
    limits = []
    for text in texts:
        name, _, at_most = text.partition("=")
        if name not in LIMITED:
            raise BudgetError(f"--limit takes NAME=AT_MOST with NAME one of {', '.join(LIMITED)}, got {text!r}")
        try:
            limits.append(Budget(name, float(at_most)))
        except ValueError:
            raise BudgetError(f"the limit of {name} must be a number, got {at_most!r}") from None
    return tuple(limits)


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
    from hwnas.evaluate.accuracy import Evaluator
    from hwnas.train.run import load_supernet

    if settings.count not in COUNTERS:
        raise ConfigError(f"the third objective is {' or '.join(COUNTERS)}, got {settings.count!r}")
    if not resume:
        refuse_existing(output)
    trained = load_supernet(settings.supernet)
    space = trained.supernet.space
    objectives, budgets = _latency_objectives(settings.tables, space, trained.supernet.stabilizers)
    evaluator = Evaluator(trained.supernet, trained.data)
    names = dict.fromkeys([settings.count, *(limit.objective_name for limit in settings.limits)])
    costs = _costs(space, trained.supernet.stabilizers, {option.table.device.precision for option in settings.tables})
    objectives = [
        Objective("accuracy", evaluator, maximize=True),
        *objectives,
        *(Objective(name, costs[name], free=True) for name in names),
    ]
    budgets += settings.limits
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


def _costs(space: Space, stabilizers: bool, precisions: set[str]) -> dict[str, Callable[[Archs], Values]]:
    """What a cost other than latency is of each arch; sizes at the tables' precision, at fp32 if they have several."""
    precision = precisions.pop() if len(precisions) == 1 else "fp32"
    return {
        "madds": madds(space, stabilizers=stabilizers),
        "params": params(space, stabilizers=stabilizers),
        "model_mb": model_mb(space, precision=precision, stabilizers=stabilizers),
        "peak_activation_mb": peak_activation_mb(space, precision=precision, stabilizers=stabilizers),
    }


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
        "limits": {limit.objective_name: limit.at_most for limit in settings.limits},
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
    units = {"accuracy": "fraction", "model_mb": "MB", "peak_activation_mb": "MB"}
    return units.get(name, "ms" if name.startswith("latency_ms") else name)


def _history(result: SearchResult, reference: np.ndarray[Any, Any]) -> list[float]:
    within = result.problem.excess(result.values) <= 0
    return [
        float(hypervolume(result.values[:count][within[:count]], reference, result.problem.maximize))
        for count in range(1, len(result.values) + 1)
    ]
