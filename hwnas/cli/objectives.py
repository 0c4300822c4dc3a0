"""What a search optimises, as a person types it: ``--table``, ``--objective``, ``--limit``, ``--weight``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.errors import BudgetError, ObjectiveError
from hwnas.flow.objectives import COSTS
from hwnas.flow.open import BudgetedTable, open_budgeted
from hwnas.optimize.problem import Budget


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
