"""What costs nothing to ask of an arch: latencies by tables, multiply-adds, sizes; as objectives, with budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from hwnas.arrays import Archs, Values
from hwnas.errors import ObjectiveError
from hwnas.flow.open import BudgetedTable, refuse_equal_names
from hwnas.optimize.problem import Budget, Objective
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.lowered import madds, model_mb, params, peak_activation_mb
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import Quantile

_Cost = Callable[[Archs], Values]

_OF_ARCHS: dict[str, Callable[[ChainSpace, str], _Cost]] = {
    "madds": lambda space, _: madds(space),
    "params": lambda space, _: params(space),
    "model_mb": lambda space, precision: model_mb(space, precision=precision),
    "peak_activation_mb": lambda space, precision: peak_activation_mb(space, precision=precision),
}
_OF_TABLES: dict[str, Quantile] = {"latency_p90_ms": "p90"}
COSTS = (*_OF_ARCHS, *_OF_TABLES)
"""What may be optimised and limited beside accuracy and median latency."""


class FreeObjectives(NamedTuple):
    """Objectives that cost nothing, and budgets on them.

    Attributes:
        predicted: name of an objective -> index of the table that predicts it, and which quantile.
        interpolated: for each table how many ops of the space it lacks and a kernel model answers for.
    """

    objectives: list[Objective]
    budgets: list[Budget]
    predicted: dict[str, tuple[int, Quantile]]
    interpolated: list[int]


def free_objectives(
    tables: Sequence[BudgetedTable], names: Sequence[str], limits: Sequence[Budget], space: ChainSpace
) -> FreeObjectives:
    """Latency by each table, then the other costs; sizes at the tables' precision, at fp32 if they have several.

    Args:
        tables: devices and their budgets.
        names: of other costs.
        limits: on costs, which are objectives then as well.
        space: whose archs.

    Raises:
        ObjectiveError: no such cost.
        BudgetError: a budget makes no sense.
        ConfigError: two tables have one name.
        MissingOpError: a table isn't of the space.
    """
    refuse_equal_names(tables)
    limited = {limit.objective_name: limit.at_most for limit in limits}
    names = list(dict.fromkeys([*names, *limited]))
    if unknown := [name for name in names if name not in COSTS]:
        raise ObjectiveError(f"no cost {unknown[0]}; costs: {', '.join(COSTS)}")
    precisions = {each.table.device.precision for each in tables}
    precision = next(iter(precisions)) if len(precisions) == 1 else "fp32"
    found = FreeObjectives([], [], {}, [])

    def add(name: str, fn: _Cost, at_most: float | None, source: str = "") -> None:
        found.objectives.append(Objective(name, fn, free=True, source=source))
        if at_most is not None:
            found.budgets.append(Budget(name, at_most))

    def by_table(name: str, index: int, at_most: float | None, quantile: Quantile) -> LatencyPredictor:
        predictor = LatencyPredictor(tables[index].table, space, quantile=quantile)
        name = name if len(tables) == 1 else f"{name} {tables[index].name}"
        add(name, predictor, at_most, tables[index].sha256)
        found.predicted[name] = (index, quantile)
        return predictor

    for index, each in enumerate(tables):
        found.interpolated.append(len(by_table("latency_ms", index, each.budget_ms, "p50").interpolated))
    for name in names:
        if name in _OF_ARCHS:
            add(name, _OF_ARCHS[name](space, precision), limited.get(name))
            continue
        for index in range(len(tables)):
            by_table(name, index, limited.get(name), _OF_TABLES[name])
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
