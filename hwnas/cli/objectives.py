"""What a search optimises, as a person types it: ``--objective``, ``--limit``, ``--weight``.

What isn't of an option's form is a ``BudgetError`` or an ``ObjectiveError``.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.errors import BudgetError, InputError, ObjectiveError
from hwnas.flow.feasible import COSTS
from hwnas.optimize.problem import Budget


def parse_objectives(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of costs; none of them is ``none``."""
    if list(texts) == ["none"]:
        return ()
    for name in texts:
        if name not in COSTS:
            raise ObjectiveError(f"--objective takes one of {', '.join(COSTS)}, or none alone, got {name!r}")
    return tuple(dict.fromkeys(texts))


def parse_limits(texts: Sequence[str]) -> tuple[Budget, ...]:
    """``NAME=AT_MOST`` with the name of a cost."""
    form = f"--limit takes NAME=AT_MOST with NAME one of {', '.join(COSTS)}"
    limits = _named_numbers(texts, form, BudgetError)
    if unknown := [name for name, _ in limits if name not in COSTS]:
        raise BudgetError(f"{form}, got {unknown[0]!r}")
    return tuple(Budget(name, at_most) for name, at_most in limits)


def parse_weights(texts: Sequence[str]) -> dict[str, float]:
    """``NAME=WEIGHT`` with the name of an objective."""
    return dict(_named_numbers(texts, "--weight takes NAME=WEIGHT", ObjectiveError))


def _named_numbers(texts: Sequence[str], form: str, error: type[InputError]) -> list[tuple[str, float]]:
    found = []
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found.append((name, float(number)))
        except ValueError:
            raise error(f"{form}; what stands behind the = must be a number, got {text!r}") from None
    return found
