"""``--table T[:BUDGET_MS]``: what a person types for a device and how fast it must be there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import BudgetError
from hwnas.tables.table import LatencyTable


@dataclass(frozen=True)
class TableOption:
    """A latency table and, if given, the budget in ms on its device."""

    path: Path
    table: LatencyTable
    budget_ms: float | None

    @property
    def sha256(self) -> str:
        """Of what the table says."""
        return hashlib.sha256(self.table.to_yaml().encode()).hexdigest()


def parse_table(text: str) -> TableOption:
    """``table.yaml`` or ``table.yaml:8.5``.

    Raises:
        BudgetError: the part behind the colon isn't a number.
        TableError: the table can't be read.
    """
    path, colon, budget = text.rpartition(":")
    if not colon or budget.endswith((".yaml", ".yml")):
        return TableOption(Path(text), LatencyTable.load(text), None)
    try:
        budget_ms = float(budget)
    except ValueError:
        raise BudgetError(f"the budget in {text!r} must be a number of ms, got {budget!r}") from None
    return TableOption(Path(path), LatencyTable.load(path), budget_ms)
