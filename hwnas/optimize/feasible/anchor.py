"""An arch within all budgets, or one line that says that there is none, or none was found, and what would be possible.

What is said of sums, of maxima and of what can be listed is proven. Of any other function it is told what was found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context
from functools import cached_property
from itertools import permutations
from math import inf
from typing import NoReturn

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import BudgetError
from hwnas.optimize.feasible.descent import descend
from hwnas.optimize.feasible.grid import extreme_maximum
from hwnas.optimize.feasible.limits import Limit, Limits

_TIME_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_us": "microseconds"}
_DRAWN = 500
_STARTS = 8  # so many of the best of those drawn are where a descent begins
_ROUNDING = 1e-9


def find_anchor(limits: Limits) -> Archs:
    """An arch (L,) within all limits.

    Raises:
        BudgetError: there is none, or none was found, as the message says; or a budget is 1,000 times what archs cost.
    """
    ranges = [_Range(limit, limits) for limit in limits.all]
    for each in ranges:
        each.check()
    alone = {each.limit.objective.name: each.low.arch for each in ranges}

    def starts() -> Iterator[Archs]:
        yield from alone.values()  # each is an optimum of its own; from one of them all budgets are likely in reach
        yield descend(limits.space, limits.summed_excess, np.zeros_like(limits.space.num_choices))[0]

    nearest, excess = _nearest(limits, starts())
    if excess <= 0:
        return nearest
    for one, other in permutations([limit for limit in limits.all if limit.steps is not None], 2):
        if one.join == other.join == "max":
            continue  # the draws will tell
        bound, near = _least(limits, one, other)
        if bound > other.at_most * (1 + _ROUNDING):
            _refuse_pair(limits, (one, other), alone)
        if len(found := limits.within(near)):
            return found[:1].ravel()
    found, outside = limits.draw(_DRAWN, np.random.default_rng(0))
    if len(found):
        return found[:1].ravel()
    best = outside[np.argsort(limits.largest_excess(outside), kind="stable")[:_STARTS]]
    nearest, excess = _nearest(limits, [nearest, *best])
    if excess <= 0:
        return nearest
    for each in ranges:
        each.refuse_unless_met(nearest)
    _refuse(limits, nearest, proven=limits.listed is not None)


def _nearest(limits: Limits, starts: Iterable[Archs]) -> tuple[Archs, float]:
    """The arch (L,) nearest to the limits that a descent from any of the starts ends at, and its largest excess; the
    first that is within ends the search."""
    nearest, least = np.zeros_like(limits.space.num_choices), inf
    for start in starts:
        arch, excess = descend(limits.space, limits.largest_excess, start)
        if excess < least:
            nearest, least = arch, excess
        if least <= 0:
            break
    return nearest, least


def _least(limits: Limits, within: Limit, of: Limit) -> tuple[float, Archs]:
    """The least of one objective within the limit of another: a bound that none is below, and (M, L) who come near."""
    assert of.steps is not None
    if of.join == "sum":
        return limits.grid_of([within]).least(of.steps)
    maxima, sum_within = of.steps, within.steps
    assert sum_within is not None

    def least_sum(largest: float) -> tuple[float, Archs]:
        return limits.grid_of([replace(of, at_most=largest)]).least(sum_within)

    steps = np.unique(np.concatenate([maxima.costs[np.isfinite(maxima.costs)], maxima.end]))
    first = bisect_left(steps, True, key=lambda largest: least_sum(largest)[0] <= within.at_most)
    least = float(steps[min(first, len(steps) - 1)])
    return least, least_sum(least)[1]


def _refuse_pair(limits: Limits, pair: tuple[Limit, Limit], alone: dict[str, Archs]) -> NoReturn:
    nearest = []
    for word, (within, of) in {"first": pair, "second": pair[::-1]}.items():
        bound, near = _least(limits, within, of)
        near = np.concatenate([near, alone[within.objective.name][None]])
        least = float(of.objective.values(near[within.excess(near) <= 0]).min())
        found = "" if least - bound <= _ROUNDING * abs(least) else " found"
        nearest.append(f"the least {of.objective.name}{found} within the {word} is {_rounded_up(least)}")
    raise BudgetError(
        f"no arch of {limits.space.name} has {pair[0]} and {pair[1]}: {', '.join(nearest)}; raise one of them to that"
    )


def _refuse(limits: Limits, arch: Archs, proven: bool) -> NoReturn:
    worst = max(limits.all, key=lambda limit: float(limit.excess(arch[None])[0]))
    value = float(worst.objective.values(arch[None])[0])
    found = "there is" if proven else "found"
    raise BudgetError(
        f"{found} no arch of {limits.space.name} within all budgets at once, though each alone can be met: the nearest "
        f"found has {worst.objective.name} {value:.6g}, over its budget of {worst.at_most:.6g}; raise one of them"
    )


@dataclass(frozen=True, eq=False)
class _End:
    """The arch (L,) of least, or most, value: of all of the space when ``proven``, else of those that were tried."""

    arch: Archs
    value: float
    proven: bool


class _Range:
    """From what to what a free objective goes, as far as its budget needs it, and whether this makes sense."""

    def __init__(self, limit: Limit, limits: Limits) -> None:
        self.limit, self._limits, self._space = limit, limits, limits.space
        self._unit = next((word for end, word in _TIME_UNITS.items() if limit.objective.name.endswith(end)), None)

    @cached_property
    def low(self) -> _End:
        """An arch that meets the budget, or the one with the least."""
        return self._end(1)

    def check(self) -> None:
        """Refuse a budget that can't be met, as far as that is proven, and one that seems to be in another unit."""
        name, at_most, low = self.limit.objective.name, self.limit.at_most, self.low
        if low.proven:
            self._refuse_below(low)
        if self._unit is None:
            return
        # A time budget that no arch comes near, but 1/1000 of which is a sensible one, was given in another unit:
        # the search would run for hours without a constraint.
        high = self._end(-1)
        if at_most > high.value and low.value <= at_most / 1000 <= high.value:
            every, slowest = ("every arch", "slowest") if high.proven else ("every arch tried", "slowest found")
            raise BudgetError(
                f"{every} of {self._space.name} has {name} at most {at_most:.6g} (the {slowest} "
                f"{high.value:.6g}), so the budget isn't in {self._unit}, it seems; give {at_most / 1000:.6g}, "
                "or none"
            )

    def refuse_unless_met(self, arch: Archs) -> None:
        """Refuse a budget that nothing was found to meet; ``arch`` (L,) was found in another way."""
        value = float(self.limit.objective.values(arch[None])[0])
        self._refuse_below(self.low if self.low.value <= value else _End(arch, value, proven=False))

    def _refuse_below(self, low: _End) -> None:
        name, at_most = self.limit.objective.name, self.limit.at_most
        if low.value <= at_most:
            return
        none, least = "has", "fastest" if self._unit else "least"
        if not low.proven:
            none, least = "was found that has", f"{least} found"
        hint = f"; is the budget really in {self._unit or 'the right unit'}?" if 100 * at_most < low.value else ""
        raise BudgetError(
            f"no arch of {self._space.name} {none} {name} at most {at_most:.6g}: the {least} "
            f"({','.join(map(str, low.arch))}) has {low.value:.6g}, so give at least {_rounded_up(low.value)}{hint}"
        )

    def _end(self, sign: int) -> _End:
        """The least, or with a ``sign`` of -1 the most.

        Proven for sums, by a grid without limits, for maxima, and where all archs can be listed; the last digit is the
        objective's own. Of any other function what several descents find. An arch that tells enough of the budget ends
        the search: one within it, or one that isn't.
        """
        objective, limit, space = self.limit.objective, self.limit, self._space

        def values(archs: Archs) -> Values:
            return sign * objective.values(archs)

        start, proven = np.zeros_like(space.num_choices), limit.steps is not None
        if limit.steps and limit.join == "sum":
            _, (start,) = self._limits.grid_of([]).least(limit.steps.times(sign))
        elif limit.steps:
            start = extreme_maximum(limit.steps, sign)
        arch, value = descend(space, values, start)
        if not proven and value > sign * limit.at_most:
            if (archs := self._limits.space_listed) is not None:
                found, proven = values(archs), True
                arch, value = archs[found.argmin()], float(found.min())
            else:
                drawn = space.sample(_DRAWN, 0)
                starts = [space.num_choices - 1, *drawn[np.argsort(values(drawn), kind="stable")[:_STARTS]]]
                descents = [(arch, value), *(descend(space, values, start) for start in starts)]
                arch, value = min(descents, key=lambda end: end[1])
        return _End(arch, sign * value, proven)


def _rounded_up(value: float) -> str:
    """``value`` to four digits, never below it, so that it can be given as a budget."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return f"{float(rounded):.10g}"
