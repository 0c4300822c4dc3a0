"""What is optimised (`Objective`), what must hold (`Budget`), and both of them on one space (`Problem`).

Inside a search everything is minimised. Signs change here only, in :meth:`Objective.minimised` and
:meth:`Problem.minimised`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Values
from hwnas.errors import BudgetError, ObjectiveError
from hwnas.space.space import Space
from hwnas.space.transitions import Steps


@runtime_checkable
class Separable(Protocol):
    """A cost of archs that says how it comes about, decision by decision; budgets on one are a dynamic program.

    Attributes:
        space: whose archs.
        steps: the cost, lowered onto the space's transitions.
    """

    space: Space
    steps: Steps


def steps_of(fn: Callable[[Archs], npt.ArrayLike], space: Space) -> Steps | None:
    """The steps of a cost that is separable on this space; None for any other function of archs."""
    return fn.steps if isinstance(fn, Separable) and fn.space.fingerprint == space.fingerprint else None


@dataclass(frozen=True)
class Objective:
    """A number per arch that should become small, or large.

    Attributes:
        name: with its unit, as in ``latency_ms``; names of one search differ.
        fn: archs (N, L) int64 -> (N,) finite numbers. The same arch must always get the same number. Where it is
            :class:`Separable`, as a latency predictor is, budgets on it are exact.
        maximize: larger is better.
        free: calling it costs nothing (a predictor, a counter), so a strategy may ask it as often as it likes.
        weight: how much one unit of it counts where a strategy wants a single number, per that unit; the others
            compare objectives one by one and don't look at it.
        source: what its numbers come from, such as a latency table's hash; a store keeps it with the search.
        within: the least and the largest that it can be, as (0, 1) of an accuracy.

    Raises:
        ObjectiveError: the name is empty or has more than one line, ``fn`` can't be called, or the weight isn't a
            finite number of at least 0.
    """

    name: str
    fn: Callable[[Archs], npt.ArrayLike]
    maximize: bool = False
    free: bool = False
    weight: float = 1.0
    source: str = ""
    within: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise ObjectiveError(f"an objective's name must be one line of text, got {self.name!r}")
        if not callable(self.fn):
            raise ObjectiveError(f"objective {self.name}: fn must be callable, got {self.fn!r}")
        if not math.isfinite(self.weight) or self.weight < 0:
            raise ObjectiveError(f"objective {self.name}: the weight must be finite and at least 0, got {self.weight}")

    def values(self, archs: Archs) -> Values:
        """``fn`` of (N, L) archs, checked: (N,) in the objective's own sign.

        Raises:
            ObjectiveError: not one finite real number per arch, or not ``within``; the first arch at fault is named.
        """
        returned = self.fn(archs.copy())  # a copy, so that no fn can change what is recorded
        try:
            values = np.asarray(returned)
        except (TypeError, ValueError):
            raise ObjectiveError(f"objective {self.name} returned {type(returned).__name__}, not an array") from None
        if values.shape != (len(archs),):
            one = "None" if returned is None else f"one {type(returned).__name__}"
            what = f"shape {values.shape}" if values.ndim else one
            expected = f"({len(archs)},) for archs of shape {archs.shape}"
            raise ObjectiveError(f"objective {self.name} returned {what}, must be {expected}")
        if values.dtype.kind not in "iuf":
            raise ObjectiveError(f"objective {self.name} returned {values.dtype}, must be real numbers")
        least, most = self.within
        good = np.isfinite(values) & (values >= least) & (values <= most)
        if not good.all():
            row = int(np.argmin(good))
            choices = ",".join(map(str, archs[row]))
            expected = f"{least:g} to {most:g}" if np.isfinite(values[row]) else "finite"
            raise ObjectiveError(f"objective {self.name} is {values[row]} for arch {choices}, must be {expected}")
        return values.astype(np.float64) + 0.0  # -0.0 becomes 0.0, because a database keeps no sign of zero

    def minimised(self, archs: Archs) -> Values:
        """(N,) ``values`` of (N, L) archs, as numbers that are minimised."""
        values = self.values(archs)
        return -values if self.maximize else values


@dataclass(frozen=True)
class Budget:
    """A constraint: the minimised objective of that name is at most ``at_most``, in the objective's unit.

    Raises:
        BudgetError: ``at_most`` isn't a positive finite number.
    """

    objective_name: str
    at_most: float

    def __post_init__(self) -> None:
        number = isinstance(self.at_most, int | float | np.integer | np.floating) and type(self.at_most) is not bool
        if not number or not math.isfinite(self.at_most) or self.at_most <= 0:
            raise BudgetError(
                f"the budget of {self.objective_name} must be a positive finite number, got {self.at_most}"
            )


@dataclass(frozen=True)
class Problem:
    """A space, K objectives on it, and budgets on some of them: what a strategy gets to see.

    Raises:
        ObjectiveError: no objective, or two of one name.
        BudgetError: a budget on an unknown or a maximised objective, or two budgets on one.
    """

    space: Space
    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...] = ()

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        if not names:
            raise ObjectiveError("a search needs at least one objective")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ObjectiveError(f"two objectives are named {twice[0]}; names must differ")
        budgeted = [budget.objective_name for budget in self.budgets]
        if twice := [name for name, count in Counter(budgeted).items() if count > 1]:
            raise BudgetError(f"two budgets on {twice[0]}; keep the smaller one")
        for name in budgeted:
            if name not in names:
                raise BudgetError(f"a budget on {name}, which is no objective; objectives: {', '.join(names)}")
            if self.objective(name).maximize:
                raise BudgetError(f"a budget on {name}, which is maximised; budgets are upper bounds")

    def objective(self, name: str) -> Objective:
        """The objective of that name."""
        return next(objective for objective in self.objectives if objective.name == name)

    @property
    def free(self) -> tuple[Objective, ...]:
        """The objectives that cost nothing to call."""
        return tuple(objective for objective in self.objectives if objective.free)

    @property
    def paid(self) -> tuple[Objective, ...]:
        """The others."""
        return tuple(objective for objective in self.objectives if not objective.free)

    def free_values(self, archs: Archs) -> Values:
        """(N, F) the free objectives of (N, L) archs, all minimised."""
        columns = (objective.minimised(archs) for objective in self.free)
        return np.column_stack([np.empty((len(archs), 0)), *columns])

    @property
    def maximize(self) -> npt.NDArray[np.bool_]:
        """(K,) which objectives are maximised."""
        return np.array([objective.maximize for objective in self.objectives])

    def minimised(self, values: Values) -> Values:
        """(N, K) values in the objectives' own sign, as numbers that are all minimised; and back again."""
        return np.where(self.maximize, -values, values)

    def weighted(self, values: Values) -> Values:
        """(N,) the one number that counts for strategies with a single objective: the weighted sum, minimised."""
        return self.minimised(values) @ [objective.weight for objective in self.objectives]

    def excess(self, values: Values) -> Values:
        """(N,) by how much (N, K) values are over the budgets: the sum of the relative excesses, 0 within all."""
        column = {objective.name: of_it for objective, of_it in zip(self.objectives, values.T, strict=True)}
        over = (relative_excess(column[budget.objective_name], budget.at_most) for budget in self.budgets)
        return sum((np.maximum(excess, 0) for excess in over), np.zeros(len(values)))


def relative_excess(values: Values, at_most: float) -> Values:
    """(N,) how far values are over a budget, as a share of it; positive exactly where they are over."""
    return (values - at_most) / at_most
