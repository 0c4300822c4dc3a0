"""``--table T[:BUDGET_MS]``: what a person types for a device and how fast it must be there."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import BudgetError
from hwnas.flow.open import BudgetedTable, open_budgeted


def parse_table(text: str) -> BudgetedTable:
    """``table.yaml`` or ``table.yaml:8.5``.

    Raises:
        BudgetError: the part behind the colon isn't a number.
        TableError: the table can't be read.
    """
    path, colon, budget = text.rpartition(":")
    if not colon or budget.endswith((".yaml", ".yml")):
        return open_budgeted([Path(text)])[0]
    try:
        budget_ms = float(budget)
    except ValueError:
        raise BudgetError(f"the budget in {text!r} must be a number of ms, got {budget!r}") from None
    return open_budgeted([(Path(path), budget_ms)])[0]
