"""What people name, opened: wherever a space or a table is taken, its name or its file is taken as well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hwnas.errors import BudgetError, InputError
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from hwnas.tables.kernel_table import KernelTable, is_kernel_table, merged
from hwnas.tables.table import LatencyTable

KernelTableLike = KernelTable | Path | str
"""A table of kernels, or its file."""

TableLike = LatencyTable | Path | str
"""A table, or its YAML file."""


@dataclass(frozen=True)
class BudgetedTable:
    """A latency table and, if given, the budget in ms on its device; prints as its file.

    Attributes:
        name: the file's, without its ending; by it objectives of several devices are told apart.
        path: of the file, None for a table that has none.
        through_kernels: the file is a table of kernels, and ``table`` what it makes of a space's ops.
    """

    name: str
    path: Path | None
    table: LatencyTable
    budget_ms: float | None = None
    through_kernels: bool = False

    @property
    def sha256(self) -> str:
        """Of what the table says."""
        return hashlib.sha256(self.table.to_yaml().encode()).hexdigest()

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)


TableWithBudget = BudgetedTable | TableLike | tuple[TableLike, float | None]
"""A table, alone or with the budget in ms on its device; in words ``table.yaml`` or ``table.yaml:8.5``."""

Tables = TableWithBudget | Sequence[TableWithBudget]
"""One such table, or several."""


def open_space(space: Space | str | Path) -> Space:
    """A space, by its name or its YAML file.

    Raises:
        SpaceError: neither.
    """
    return get_space(str(space)) if isinstance(space, str | Path) else space


def open_table(table: TableLike) -> LatencyTable:
    """A table, by its YAML file.

    Raises:
        TableError: it can't be read.
    """
    return LatencyTable.load(table) if isinstance(table, str | Path) else table


def open_kernel_table(table: KernelTableLike) -> KernelTable:
    """A table of kernels, by its file.

    Raises:
        TableError: it can't be read.
    """
    return KernelTable.read(table) if isinstance(table, str | Path) else table


def open_known(tables: KernelTableLike | Sequence[KernelTableLike] | None) -> KernelTable | None:
    """One table of those that are known, if any are; not calibrated.

    Raises:
        TableError: one can't be read, or they are of several devices.
    """
    if tables is None:
        return None
    several = tables if isinstance(tables, Sequence) and not isinstance(tables, str) else [tables]
    return merged([open_kernel_table(each) for each in several]) if several else None


@contextmanager
def of_file(name: object) -> Iterator[None]:
    """What is wrong with a table, or with what it asks for, is told with the name of its file."""
    try:
        yield
    except InputError as error:
        told = str(error)
        raise type(error)(told if told.startswith(str(name)) else f"{name}: {told}") from None


def open_budgeted(tables: Tables, space: Callable[[], Space] | None = None) -> list[BudgetedTable]:
    """Tables and their budgets; those without a file are called ``table``, or ``table-N`` where N tables come first.

    Args:
        tables: as people give them. A table of kernels is taken for what it makes of the ops of a space.
        space: gives that; asked only where there is such a table, which isn't taken where nobody can say.

    Raises:
        TableError: one can't be read.
        MissingOpError, RuntimeMissingError: a table of kernels can't price the space, or not here.
        BudgetError: what stands behind a file's colon is no number.
    """
    kinds = BudgetedTable | LatencyTable | Path | str
    with_budget = isinstance(tables, tuple) and len(tables) == 2 and not isinstance(tables[1], kinds | tuple)
    several = [tables] if isinstance(tables, kinds) or with_budget else tables
    found = []
    for number, each in enumerate(cast(Sequence[TableWithBudget], several)):
        if isinstance(each, BudgetedTable):
            found.append(each)
            continue
        table, budget_ms = each if isinstance(each, tuple) else _parsed(each) if isinstance(each, str) else (each, None)
        path = None if isinstance(table, LatencyTable) else Path(table)
        name = path.stem if path else f"table-{number}" if number else "table"
        if path and space and is_kernel_table(path):
            priced = priced_table(KernelTable.read(path), space())
            found.append(BudgetedTable(name, path, priced, budget_ms, through_kernels=True))
        else:
            found.append(BudgetedTable(name, path, open_table(table), budget_ms))
    return found


def priced_table(table: KernelTable, space: Space) -> LatencyTable:
    """A space's ops through a table's kernels; raises as :func:`hwnas.prediction.through_kernels.priced`."""
    from hwnas.prediction.through_kernels import priced
    from hwnas.runtimes.registry import get_runtime

    conditions = table.device.conditions
    return priced(table, space, get_runtime(conditions.runtime, conditions.options))


def _parsed(text: str) -> tuple[Path, float | None]:
    path, colon, budget = text.rpartition(":")
    if not colon or budget.endswith((".yaml", ".yml", ".json")):
        return Path(text), None
    try:
        return Path(path), float(budget)
    except ValueError:
        raise BudgetError(f"the budget in {text!r} must be a number of ms, got {budget!r}") from None
