"""What a search optimises, as a person types it: ``--table``, ``--objective``, ``--limit``, ``--weight``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from hwnas.arrays import Archs, Values
from hwnas.cli.tables import TableOption
from hwnas.errors import BudgetError, ConfigError, ObjectiveError
from hwnas.optimize.problem import Budget, Objective
from hwnas.prediction.calibrate import Quantile
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.lowered import madds, params
from hwnas.prediction.size import model_mb, peak_activation_mb
from hwnas.space.chain import ChainSpace

Cost = Callable[[Archs], Values]

_OF_ARCHS: dict[str, Callable[[ChainSpace, str], Cost]] = {
    "madds": lambda space, _: madds(space),
    "params": lambda space, _: params(space),
    "model_mb": lambda space, precision: model_mb(space, precision=precision),
    "peak_activation_mb": lambda space, precision: peak_activation_mb(space, precision=precision),
}
_OF_TABLES: dict[str, Quantile] = {"latency_p90_ms": "p90"}
COSTS = (*_OF_ARCHS, *_OF_TABLES)
"""What ``--objective`` and ``--limit`` take."""


class Predicted(NamedTuple):
    """An objective that a table predicts."""

    objective: str
    table: TableOption
    quantile: Quantile = "p50"


class FreeObjectives(NamedTuple):
    """What costs nothing to ask, the budgets on it, and which of it are predictions by tables."""

    objectives: list[Objective]
    budgets: list[Budget]
    predicted: list[Predicted]


def parse_objectives(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of costs; none of them is ``none``.

    Raises:
        ObjectiveError: an unknown name, or ``none`` beside others.
    """
    if list(texts) == ["none"]:
        return ()
    for name in texts:
        if name not in COSTS:
            raise ObjectiveError(f"--objective takes one of {', '.join(COSTS)}, or none alone, got {name!r}")
    return tuple(dict.fromkeys(texts))


def parse_limits(texts: Sequence[str]) -> tuple[Budget, ...]:
    """``NAME=AT_MOST`` with the name of a cost.

    Raises:
        BudgetError: not that form, an unknown name, or not a positive number.
    """
    limits = []
    for text in texts:
        name, _, at_most = text.partition("=")
        if name not in COSTS:
            raise BudgetError(f"--limit takes NAME=AT_MOST with NAME one of {', '.join(COSTS)}, got {text!r}")
        try:
            limits.append(Budget(name, float(at_most)))
        except ValueError:
            raise BudgetError(f"the limit of {name} must be a number, got {at_most!r}") from None
    return tuple(limits)


def parse_weights(texts: Sequence[str]) -> dict[str, float]:
    """``NAME=WEIGHT`` with the name of an objective.

    Raises:
        ObjectiveError: not that form, or not a number.
    """
    weights = {}
    for text in texts:
        name, _, weight = text.rpartition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            raise ObjectiveError(f"--weight takes NAME=WEIGHT with a number, got {text!r}") from None
    return weights


def costs(space: ChainSpace, precisions: set[str]) -> dict[str, Cost]:
    """What costs other than latency are of each arch; sizes at the tables' precision, at fp32 if they have several."""
    precision = next(iter(precisions)) if len(precisions) == 1 else "fp32"
    return {name: make(space, precision) for name, make in _OF_ARCHS.items()}


def free_objectives(
    tables: Sequence[TableOption], names: Sequence[str], limits: Sequence[Budget], space: ChainSpace
) -> FreeObjectives:
    """Latency by each table, then the other costs; and the budgets on them.

    Args:
        tables: devices and their budgets.
        names: of other costs.
        limits: on costs, which are objectives then as well.
        space: whose archs.

    Raises:
        BudgetError: a budget makes no sense.
        ConfigError: two tables have one name.
        MissingOpError: a table isn't of the space.
    """
    stems = [option.path.stem for option in tables]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise ConfigError(f"two tables are called {twice[0]}, and objectives are named after them; rename one file")
    found = FreeObjectives([], [], [])
    names = list(dict.fromkeys([*names, *(limit.objective_name for limit in limits)]))
    limited = {limit.objective_name: limit.at_most for limit in limits}
    per_arch = costs(space, {option.table.device.precision for option in tables})

    def add(name: str, fn: Cost, at_most: float | None, source: str = "") -> None:
        found.objectives.append(Objective(name, fn, free=True, source=source))
        if at_most is not None:
            found.budgets.append(Budget(name, at_most))

    def by_table(name: str, option: TableOption, at_most: float | None, quantile: Quantile) -> None:
        predictor = LatencyPredictor(option.table, space, quantile=quantile)
        name = name if len(tables) == 1 else f"{name} {option.path.stem}"
        add(name, predictor, at_most, option.sha256)
        found.predicted.append(Predicted(name, option, quantile))

    for option in tables:
        by_table("latency_ms", option, option.budget_ms, "p50")
    for name in names:
        if name in per_arch:
            add(name, per_arch[name], limited.get(name))
            continue
        for option in tables:
            by_table(name, option, limited.get(name), _OF_TABLES[name])
    return found


def weighted(objectives: Sequence[Objective], weights: Mapping[str, float]) -> tuple[Objective, ...]:
    """The objectives with these weights; without one, accuracy counts 1 and everything else 0.

    Raises:
        ObjectiveError: a weight of no objective, or one that makes no sense.
    """
    known = [objective.name for objective in objectives]
    for name in weights:
        if name not in known:
            raise ObjectiveError(f"a weight of {name}, which is no objective; objectives: {', '.join(known)}")
    return tuple(replace(o, weight=weights.get(o.name, float(o.name == "accuracy"))) for o in objectives)
