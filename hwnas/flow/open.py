"""What people name, opened: wherever a space or a table is taken, its name or its file is taken as well."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

TableLike = LatencyTable | Path | str
"""A table, or its YAML file."""


@dataclass(frozen=True)
class BudgetedTable:
    """A latency table and, if given, the budget in ms on its device; prints as its file.

    Attributes:
        name: the file's, without its ending; by it objectives of several devices are told apart.
        path: of the file, None for a table that has none.
    """

    name: str
    path: Path | None
    table: LatencyTable
    budget_ms: float | None = None

    @property
    def sha256(self) -> str:
        """Of what the table says."""
        return hashlib.sha256(self.table.to_yaml().encode()).hexdigest()

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)


TableWithBudget = BudgetedTable | TableLike | tuple[TableLike, float | None]
"""A table, alone or with the budget in ms on its device."""


def open_space(space: ChainSpace | str | Path) -> ChainSpace:
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


def open_budgeted(tables: Sequence[TableWithBudget]) -> list[BudgetedTable]:
    """Tables and their budgets; those without a file are called ``table``, or ``table-N`` where N tables come first.

    Raises:
        TableError: one can't be read.
    """
    found = []
    for number, each in enumerate(tables):
        if isinstance(each, BudgetedTable):
            found.append(each)
            continue
        table, budget_ms = each if isinstance(each, tuple) else (each, None)
        path = None if isinstance(table, LatencyTable) else Path(table)
        name = path.stem if path else f"table-{number}" if number else "table"
        found.append(BudgetedTable(name, path, open_table(table), budget_ms))
    return found
