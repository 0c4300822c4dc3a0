"""``feasible``: how many archs are within budgets, and the ends of each cost among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.flow.objectives import free_objectives
from hwnas.flow.open import BudgetedTable, TableWithBudget, open_budgeted
from hwnas.optimize.feasible import Extreme, FeasibleCount, FeasibleRegion
from hwnas.optimize.problem import Budget, Problem
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space


@dataclass(frozen=True)
class Ends:
    """The archs with the least and the most of a cost, within the budgets and in the whole space."""

    least: Extreme
    most: Extreme
    least_of_space: Extreme
    most_of_space: Extreme


@dataclass(frozen=True)
class Feasible:
    """What is within budgets.

    Attributes:
        space: that was looked at.
        budgets: that hold.
        count: of archs within them.
        ends: name of a cost -> its ends; the first is the latency on the first device.
        interpolated: a table -> ops of the space that it lacks and a kernel model answers for.
    """

    space: ChainSpace
    budgets: tuple[Budget, ...]
    count: FeasibleCount
    ends: dict[str, Ends]
    interpolated: dict[str, int]


def feasible(
    space: ChainSpace | str | Path, tables: Sequence[TableWithBudget] = (), limits: Sequence[Budget] = ()
) -> Feasible:
    """How many archs are within budgets; exact where possible, else with what it lies between.

    Args:
        space: ``space.inheriting()`` for networks that keep what those with inherited weights must; a name or a YAML
            file means its archs at the first table's size, if that is of this space.
        tables: of the devices, each alone or with the budget in ms there.
        limits: on other costs, see :data:`hwnas.flow.objectives.COSTS`.

    Raises:
        BudgetError: a budget makes no sense, or no arch was found to meet it.
        MissingOpError: a table isn't of the space.
    """
    devices = open_budgeted(tables)
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
