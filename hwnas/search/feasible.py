"""Where the budgets hold: the arch with the lowest cost, and the way from any arch to one within budget.

Only budgets on free objectives are dealt with here, since an arch is asked about many times over. Budgets on the
other objectives are a matter of ranking (:mod:`hwnas.search.rank`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, Context
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas.errors import BudgetError
from hwnas.search.objective import Budget, Objective, Problem, Values, relative_excess
from hwnas.space.space import Archs, Space

_SAMPLING_ROUNDS = 10
_TIME_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_us": "microseconds"}


def fastest(space: Space, fn: Callable[[Archs], Values]) -> tuple[Archs, float]:
    """The arch with the lowest ``fn``, by coordinate descent: a layer after the other takes its best choice.

    Exact when ``fn`` is a sum over layers, which one sweep minimises. Otherwise the arch is a local minimum: no
    single-layer change improves it.

    Args:
        space: whose archs.
        fn: archs (N, L) -> (N,) finite numbers; called once for each layer and sweep.

    Returns:
        The arch (L,) and its value.
    """
    return _descend(space, fn, np.zeros(space.num_layers, dtype=np.int64))


def _descend(space: Space, fn: Callable[[Archs], Values], start: Archs) -> tuple[Archs, float]:
    arch, value = start.copy(), float(fn(start[None])[0])
    improved = True
    while improved:  # ends, because the value falls in every sweep but the last and there are finitely many archs
        improved = False
        for layer, count in enumerate(space.num_choices):
            options = np.repeat(arch[None], count, axis=0)
            options[:, layer] = np.arange(count)
            values = fn(options)
            best = int(np.argmin(values))
            if values[best] < value:
                arch, value, improved = options[best], float(values[best]), True
    return arch, value


class FeasibleRegion:
    """The archs within all budgets on free objectives.

    Args:
        problem: the space, objectives and budgets.

    Attributes:
        anchor: (L,) an arch within all of them.

    Raises:
        BudgetError: no arch within the budgets was found, or a budget is 1,000 times what the space costs.
    """

    def __init__(self, problem: Problem) -> None:
        self.space = problem.space
        pairs = [(problem.objective(budget.objective_name), budget) for budget in problem.budgets]
        self._limits = [(objective, budget) for objective, budget in pairs if objective.free]
        self.anchor = self._find_anchor()

    def contains(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """(N,) which of (N, L) archs are within the budgets."""
        return self._largest_excess(archs) <= 0

    def sample(self, count: int, rng: np.random.Generator) -> Archs:
        """``count`` archs within budget, with replacement: (count, L).

        Uniform over the feasible archs as long as rejection finds enough in ten rounds of ``count`` draws; what is
        then missing is repaired, so that this ends however tight the budgets are.
        """
        found = np.empty((0, self.space.num_layers), dtype=np.int64)
        for _ in range(_SAMPLING_ROUNDS):
            drawn = self.space.sample(count, rng)
            within = self.contains(drawn)
            found = np.concatenate([found, drawn[within]])[:count]
            if len(found) == count:
                return found
        return np.concatenate([found, self.repair(drawn[~within][: count - len(found)], rng)])

    def repair(self, archs: Archs, rng: np.random.Generator) -> Archs:
        """(N, L) archs, those over a budget moved towards the anchor, one random layer at a time, until within.

        After L steps an arch is the anchor itself, so this ends.
        """
        repaired = archs.copy()
        over = np.flatnonzero(~self.contains(archs))
        layers = rng.permuted(np.tile(np.arange(self.space.num_layers), (len(over), 1)), axis=1)
        for step in range(self.space.num_layers):
            if not len(over):
                break
            layer = layers[:, step]
            repaired[over, layer] = self.anchor[layer]
            still = ~self.contains(repaired[over])
            over, layers = over[still], layers[still]
        return repaired

    def _largest_excess(self, archs: Archs) -> Values:
        largest = np.full(len(archs), -np.inf)
        for objective, budget in self._limits:
            largest = np.maximum(largest, relative_excess(objective.values(archs), budget))
        return largest

    def _summed_excess(self, archs: Archs) -> Values:
        return sum((relative_excess(o.values(archs), b) for o, b in self._limits), np.zeros(len(archs)))

    def _find_anchor(self) -> Archs:
        starts = [_Range(self.space, objective).check(budget) for objective, budget in self._limits]
        starts.append(fastest(self.space, self._summed_excess)[0])
        for start in starts:  # each is an optimum of its own; from one of them all budgets are likely in reach
            anchor, excess = _descend(self.space, self._largest_excess, start)
            if excess <= 0:
                return anchor
        raise BudgetError(self._conflict(anchor))

    def _conflict(self, arch: Archs) -> str:
        worst, budget = max(self._limits, key=lambda limit: relative_excess(limit[0].values(arch[None]), limit[1])[0])
        value = float(worst.values(arch[None])[0])
        return (
            f"found no arch of {self.space.name} within all budgets at once, though each alone can be met: "
            f"the nearest has {worst.name} {value:.6g}, over its budget of {budget.at_most:.6g}; raise one of them"
        )


class _Range:
    """From what to what a free objective goes on a space, and whether a budget makes sense there."""

    def __init__(self, space: Space, objective: Objective) -> None:
        self.space, self.objective = space, objective
        self.fastest_arch, self.low = fastest(space, objective.values)

    @cached_property
    def high(self) -> float:
        return -fastest(self.space, lambda archs: -self.objective.values(archs))[1]

    def check(self, budget: Budget) -> Archs:
        """The fastest arch, (L,), when the budget can be met."""
        name, at_most = self.objective.name, float(budget.at_most)
        unit = next((word for suffix, word in _TIME_UNITS.items() if name.endswith(suffix)), None)
        if at_most < self.low:
            hint = f"; is the budget really in {unit or 'the right unit'}?" if 100 * at_most < self.low else ""
            raise BudgetError(
                f"no arch of {self.space.name} has {name} at most {at_most:.6g}: the fastest "
                f"({','.join(map(str, self.fastest_arch))}) has {self.low:.6g}, so give at least "
                f"{_rounded_up(self.low)}{hint}"
            )
        # A time budget that no arch comes near, but 1/1000 of which is a sensible one, was given in another unit:
        # the search would run for hours without a constraint.
        if unit and at_most > self.high and self.low <= at_most / 1000 <= self.high:
            raise BudgetError(
                f"every arch of {self.space.name} has {name} at most {at_most:.6g} (the slowest {self.high:.6g}), "
                f"so the budget isn't in {unit}, it seems; give {at_most / 1000:.6g}, or none"
            )
        return self.fastest_arch


def _rounded_up(value: float) -> str:
    """``value`` to four digits, never below it, so that it can be given as a budget."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return f"{float(rounded):.10g}"
