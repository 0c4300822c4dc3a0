"""What costs nothing to ask of an arch, as objectives with budgets; ``feasible``: what is within these.

Such costs are latencies by tables, multiply-adds, and sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hwnas.arguments import checked
from hwnas.arrays import Archs, Values
from hwnas.brief import Brief
from hwnas.errors import ConfigError, ObjectiveError
from hwnas.flow.open import BudgetedTable, Tables, of_file, open_budgeted, open_space
from hwnas.optimize.feasible import Extreme, FeasibleCount, FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.prediction.costs import madds, model_mb, params, peak_activation_mb
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from hwnas.tables.table import Quantile

_Cost = Callable[[Archs], Values]

_OF_ARCHS: dict[str, Callable[[Space, str], _Cost]] = {
    "madds": lambda space, _: madds(space),
    "params": lambda space, _: params(space),
    "model_mb": lambda space, precision: model_mb(space, precision=precision),
    "peak_activation_mb": lambda space, precision: peak_activation_mb(space, precision=precision),
}
_OF_TABLES: dict[str, Quantile] = {"latency_ms": "p50", "latency_p90_ms": "p90"}
COSTS = (*_OF_ARCHS, "latency_p90_ms")
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
    tables: Sequence[BudgetedTable], names: Sequence[str], limits: Sequence[Budget], space: Space
) -> FreeObjectives:
    """Latency by each table, then the other costs; sizes at the tables' precision, at fp32 if they have several.

    Args:
        tables: devices and their budgets.
        names: of other costs; those with a limit are objectives as well.
        limits: on them.
        space: whose archs.

    Raises:
        ObjectiveError: no such cost.
        BudgetError: a budget makes no sense.
        ConfigError: two tables have one name.
        MissingOpError: a table isn't of the space.
    """
    if twice := [name for name, count in Counter(each.name for each in tables).items() if count > 1]:
        raise ConfigError(f"two tables are called {twice[0]}, and objectives are named after them; rename one file")
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

    for name in ("latency_ms", *names):
        if name in _OF_ARCHS:
            add(name, _OF_ARCHS[name](space, precision), limited.get(name))
            continue
        for index, each in enumerate(tables):
            with of_file(each):
                predictor = LatencyPredictor(each.table, space, quantile=_OF_TABLES[name])
            its_name = name if len(tables) == 1 else f"{name} {each.name}"
            found.predicted[its_name] = (index, _OF_TABLES[name])
            if name == "latency_ms":
                found.interpolated.append(len(predictor.interpolated))
                add(its_name, predictor, each.budget_ms, each.sha256)
            else:
                add(its_name, predictor, limited.get(name), each.sha256)
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


@dataclass(frozen=True)
class Ends:
    """The archs with the least and the most of a cost, within the budgets and in the whole space."""

    least: Extreme
    most: Extreme
    least_of_space: Extreme
    most_of_space: Extreme


@dataclass(frozen=True, repr=False)
class Feasible(Brief):
    """What is within budgets.

    Attributes:
        space: that was looked at.
        budgets: that hold.
        count: of archs within them.
        ends: name of a cost -> its ends; the first is the latency on the first device.
        interpolated: a table -> ops of the space that it lacks and a kernel model answers for.
    """

    space: Space
    budgets: tuple[Budget, ...]
    count: FeasibleCount
    ends: dict[str, Ends]
    interpolated: dict[str, int]


@checked
def feasible(space: Space | str | Path, tables: Tables = (), limits: Sequence[Budget] = ()) -> Feasible:
    """How many archs are within budgets; exact where possible, else with what it lies between.

    Args:
        space: ``space.inheriting()`` for networks that keep what those with inherited weights must; a name or a YAML
            file means its archs at the first table's size, if that is of this space.
        tables: of the devices, each alone or with the budget in ms there.
        limits: on other costs, see :data:`COSTS`.

    Raises:
        BudgetError: a budget makes no sense, or no arch was found to meet it.
        MissingOpError: a table isn't of the space.
    """
    devices = open_budgeted(tables, partial(open_space, space))
    found = space_of(str(space), devices) if isinstance(space, str | Path) else space
    free = free_objectives(devices, ("madds", "params"), limits, found)
    within, everything = (
        FeasibleRegion(Problem(found, tuple(free.objectives), those)) for those in (tuple(free.budgets), ())
    )
    return Feasible(
        space=found,
        budgets=tuple(free.budgets),
        count=within.count(),
        ends={o.name: Ends(*within.extremes(o), *everything.extremes(o)) for o in free.objectives},
        interpolated={str(each): lacking for each, lacking in zip(devices, free.interpolated, strict=True)},
    )


def space_of(
    name: str, tables: Sequence[BudgetedTable], resolution: int | None = None, classes: int | None = None
) -> ChainSpace:
    """A space at the size of the first table, if that is of this space, unless a size is given."""
    made_for = tables[0].table.space if tables else None
    if made_for is not None and made_for.source == name:
        resolution, classes = resolution or made_for.resolution, classes or made_for.classes
    return get_space(name, resolution, classes)
