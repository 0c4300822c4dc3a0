"""An arch within all budgets, or one line that says why there is none and what would be possible."""

from __future__ import annotations

from bisect import bisect_left
from decimal import ROUND_CEILING, Context
from functools import cached_property
from itertools import permutations
from typing import NoReturn

import numpy as np

from hwnas.arrays import Archs
from hwnas.errors import BudgetError
from hwnas.optimize.feasible.candidates import Candidates
from hwnas.optimize.feasible.descent import descend, fastest
from hwnas.optimize.feasible.grid import Grid, least_maximum
from hwnas.optimize.feasible.limits import Limit, Limits, steps_within

_TIME_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_us": "microseconds"}
_DRAWN = 500
_ROUNDING = 1e-9


def find_anchor(limits: Limits, candidates: Candidates) -> Archs:
    """An arch (L,) within all limits.

    Raises:
        BudgetError: there is none (proven for sums), or none was found; or a budget is 1,000 times what archs cost.
    """
    alone = {limit.objective.name: _Range(limits, limit).check() for limit in limits.all}
    # Each is an optimum of its own; from one of them all budgets are likely in reach.
    for start in (*alone.values(), fastest(limits.space, limits.summed_excess)[0]):
        nearest, excess = descend(limits.space, limits.largest_excess, start)
        if excess <= 0:
            return nearest
    known = [limit for limit in limits.all if limit.steps is not None or limit.largest is not None]
    for one, other in permutations(known, 2):
        if one.steps is None and other.steps is None:
            continue  # two maxima: the draws will tell
        bound, near = _least(limits, one, other)
        if bound > other.at_most * (1 + _ROUNDING):
            _refuse_pair(limits, (one, other), alone)
        if len(found := candidates.within(near)):
            return found[:1].ravel()
    found, _ = candidates.draw(_DRAWN, np.random.default_rng(0))
    if len(found):
        return found[:1].ravel()
    _refuse(limits, nearest, proven=candidates.listed is not None)


def _least(limits: Limits, within: Limit, of: Limit) -> tuple[float, Archs]:
    """The least of one objective within the limit of another: a bound that none is below, and (M, L) who come near."""
    if of.steps is not None:
        sums, at_most = ([], []) if within.steps is None else ([within.steps], [within.at_most])
        allowed = None if within.largest is None else steps_within(within.largest, within.at_most)
        return Grid(limits.space, limits.walk, sums, at_most, allowed=allowed).least(of.steps)
    assert of.largest is not None
    maxima, sum_within = of.largest, within.steps
    assert sum_within is not None

    def least_sum(largest: float) -> tuple[float, Archs]:
        allowed = steps_within(maxima, largest)
        return Grid(limits.space, limits.walk, [], [], allowed=allowed).least(sum_within)

    steps = np.unique(np.concatenate([maxima.costs[np.isfinite(maxima.costs)], maxima.end]))
    first = bisect_left(steps, True, key=lambda largest: least_sum(largest)[0] <= within.at_most)
    least = float(steps[min(first, len(steps) - 1)])
    return least, least_sum(least)[1]


def _refuse_pair(limits: Limits, pair: tuple[Limit, Limit], alone: dict[str, Archs]) -> NoReturn:
    nearest = []
    for word, (within, of) in {"first": pair, "second": pair[::-1]}.items():
        near = np.concatenate([_least(limits, within, of)[1], alone[within.objective.name][None]])
        least = of.objective.values(near[within.excess(near) <= 0]).min()
        nearest.append(f"the least {of.objective.name} within the {word} is {_rounded_up(least)}")
    raise BudgetError(
        f"no arch of {limits.space.name} has {pair[0]} and {pair[1]}: {', '.join(nearest)}; raise one of them to that"
    )


def _refuse(limits: Limits, arch: Archs, proven: bool) -> NoReturn:
    worst = max(limits.all, key=lambda limit: float(limit.excess(arch[None])[0]))
    value = float(worst.objective.values(arch[None])[0])
    found = "there is" if proven else "found"
    raise BudgetError(
        f"{found} no arch of {limits.space.name} within all budgets at once, though each alone can be met: the nearest "
        f"has {worst.objective.name} {value:.6g}, over its budget of {worst.at_most:.6g}; raise one of them"
    )


class _Range:
    """From what to what a free objective goes on a space, and whether a budget makes sense there."""

    def __init__(self, limits: Limits, limit: Limit) -> None:
        self._limits, self._limit = limits, limit
        self._fastest, self._low = self._lowest(1)

    def check(self) -> Archs:
        """The fastest arch, (L,), when the budget can be met."""
        name, at_most = self._limit.objective.name, self._limit.at_most
        unit = next((word for suffix, word in _TIME_UNITS.items() if name.endswith(suffix)), None)
        if at_most < self._low:
            hint = f"; is the budget really in {unit or 'the right unit'}?" if 100 * at_most < self._low else ""
            raise BudgetError(
                f"no arch of {self._limits.space.name} has {name} at most {at_most:.6g}: the "
                f"{'fastest' if unit else 'least'} ({','.join(map(str, self._fastest))}) has {self._low:.6g}, so give "
                f"at least {_rounded_up(self._low)}{hint}"
            )
        # A time budget that no arch comes near, but 1/1000 of which is a sensible one, was given in another unit:
        # the search would run for hours without a constraint.
        if unit and at_most > self._high and self._low <= at_most / 1000 <= self._high:
            raise BudgetError(
                f"every arch of {self._limits.space.name} has {name} at most {at_most:.6g} (the slowest "
                f"{self._high:.6g}), so the budget isn't in {unit}, it seems; give {at_most / 1000:.6g}, or none"
            )
        return self._fastest

    @cached_property
    def _high(self) -> float:
        return -self._lowest(-1)[1]

    def _lowest(self, sign: int) -> tuple[Archs, float]:
        """Exact for sums, by a grid without limits, and the least of maxima; the last digit is the objective's own."""
        space, objective, limit = self._limits.space, self._limit.objective, self._limit
        start = np.zeros(space.num_layers, dtype=np.int64)
        if limit.steps is not None:
            _, (start,) = Grid(space, self._limits.walk, [], []).least(limit.steps.times(sign))
        elif limit.largest is not None:
            start = least_maximum(limit.largest)
        return descend(space, lambda archs: sign * objective.values(archs), start)


def _rounded_up(value: float) -> str:
    """``value`` to four digits, never below it, so that it can be given as a budget."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return f"{float(rounded):.10g}"
