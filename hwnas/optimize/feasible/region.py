"""`FeasibleRegion`: the archs within the budgets."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from hwnas.arrays import Archs, Flags
from hwnas.optimize.feasible.anchor import find_anchor
from hwnas.optimize.feasible.descent import repair
from hwnas.optimize.feasible.grid import TOO_MANY, extreme_maximum
from hwnas.optimize.feasible.limits import Limits
from hwnas.optimize.problem import Objective, Problem, steps_of

_COUNTED_ON, _SOUGHT_IN = 2**14, 2**12  # draws
_CONFIDENCE = 0.999
_ROUNDING = 1e-9  # above what counts that float64 adds up can round off


@dataclass(frozen=True)
class FeasibleCount:
    """How many archs are within the budgets.

    Attributes:
        count: exact, or the best estimate.
        low, high: what it lies between; both are ``count`` where that is exact.
        share: of all archs of the space.
        acceptance: the share of the archs drawn from the grid that are within the budgets, the others being rejected.
        confidence: with which it lies between ``low`` and ``high``. 1 where these are the bounds of the discretisation
            error; below, the rejected archs were counted in a sample.
    """

    count: int
    low: int
    high: int
    share: float
    acceptance: float
    confidence: float

    @property
    def exact(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True, eq=False)
class Extreme:
    """An arch within the budgets that has the least, or the most, of an objective that was found.

    Attributes:
        arch: (L,).
        value: of the objective, in its unit.
        bound: no arch within the budgets goes beyond; the value itself where it is exact, infinite where nothing is
            known.
    """

    arch: Archs
    value: float
    bound: float

    @property
    def exact(self) -> bool:
        """Whether no arch within the budgets goes beyond the value, by more than sums are rounded."""
        return self.value == self.bound


class FeasibleRegion:
    """The archs within all budgets on free objectives.

    Objectives whose ``fn`` is :class:`~hwnas.optimize.problem.Separable` say how they add up, decision by decision, as
    counts and latency predictors do; what is said about these is exact but for a stated discretisation error. A limit
    on a maximum, such as :class:`~hwnas.prediction.costs.LayerMax`, bars choices, which adds no error. All others are
    asked arch by arch.

    Args:
        problem: the space, objectives and budgets.

    Attributes:
        problem, space: what it is a region of.
        anchor: (L,) an arch within all of them.

    Raises:
        BudgetError: no arch is within the budgets, or none was found, or a budget is 1,000 times what the space costs.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space = problem.space
        self._limits = Limits(problem)
        self.anchor = find_anchor(self._limits)

    def contains(self, archs: Archs) -> Flags:
        """(N,) which of (N, L) archs are within the budgets."""
        return self._limits.contain(archs)

    @property
    def listed(self) -> Archs | None:
        """All archs within the budgets (N, L), where there are few enough to look at each."""
        return self._limits.listed

    def count(self) -> FeasibleCount:
        """How many archs there are.

        Exact where nothing is limited, where the grid is, or where those of which it isn't certain are few enough to
        look at each. Else the share of the candidates that are within the limits is estimated from draws: between the
        bounds of the discretisation error with one limit on a sum, in the interval of Clopper and Pearson (1934)
        otherwise.
        """
        limits, grid, of_space = self._limits, self._limits.grid, self.space.size
        size = grid.size

        def counted(count: int, low: int, high: int, confidence: float = 1.0) -> FeasibleCount:
            return FeasibleCount(count, low, high, count / of_space, count / max(size, 1), confidence)

        if not limits.all:
            return counted(*[of_space] * 3)
        if limits.listed is not None:
            return counted(*[len(limits.listed)] * 3)
        if limits.complete and limits.doubtful is not None and size < TOO_MANY:
            return counted(*[grid.certain + len(limits.doubtful)] * 3)
        accepted = len(limits.within(grid.draw(_COUNTED_ON, np.random.default_rng(0))))
        low, high = grid.certain if limits.complete else 1, size
        if size >= TOO_MANY:
            low, high = max(int(low * (1 - _ROUNDING)), 1), min(int(high * (1 + _ROUNDING)), of_space)
        estimate = min(max(round(size * (accepted / _COUNTED_ON)), low), high)
        if limits.complete and grid.num_sums <= 1:
            return counted(estimate, low, high)
        least, most = _interval(accepted)
        return counted(estimate, max(low, int(least * size)), min(high, int(most * size) + 1), _CONFIDENCE)

    def extremes(self, objective: Objective) -> tuple[Extreme, Extreme]:
        """The archs that have the least and the most of one of the problem's free objectives.

        Exact where the archs within the budgets can be listed, and where the best arch on the grid, or of the space for
        a maximum, is within them.
        """
        return self._extreme(objective, 1), self._extreme(objective, -1)

    def sample(self, count: int, rng: np.random.Generator) -> Archs:
        """``count`` archs within budget, with replacement: (count, L).

        Uniform, by draws from the grid and rejection of what is over after all; without budgets, and with one on a sum,
        next to nothing is rejected. Where more than 19 in 20 are (:class:`FeasibleCount` tells the share), what is
        missing is repaired, so that this ends however rarely the other budgets are met.
        """
        if not self._limits.all:
            return self.space.sample(count, rng)
        inside, outside = self._limits.draw(count, rng)
        return np.concatenate([inside, self.repair(outside[: count - len(inside)], rng)])

    def repair(self, archs: Archs, rng: np.random.Generator) -> Archs:
        """(N, L) archs, those over a budget changed in as few random layers as can be found until they are within."""
        return repair(self._limits, self.anchor, archs, rng)

    def _extreme(self, objective: Objective, sign: int) -> Extreme:
        limits, archs, bound, proven = self._limits, self.listed, -inf, True
        if archs is None:
            steps = steps_of(objective.fn, self.space)
            near = self.anchor[None]
            if steps is not None and steps.join == "sum":
                bound, near = limits.grid.least(steps.times(sign))
            elif steps is not None:
                near = extreme_maximum(steps, sign)[None]
                bound = sign * float(objective.values(near)[0])
            proven = bound > -inf and bool(limits.contain(near[:1]).any())
            archs = np.concatenate([self.anchor[None], limits.within(near)])
            if not proven and not (limits.complete and steps is not None and steps.join == "sum"):
                drawn = limits.grid.draw(_SOUGHT_IN, np.random.default_rng(0))
                archs = np.concatenate([archs, limits.within(drawn)])
        if sign < 0:
            budgets = [limit.at_most for limit in limits.all if limit.objective == objective]
            bound = max(bound, -min(budgets, default=inf))
        values = objective.values(archs)
        best = int(np.argmin(sign * values))
        return Extreme(archs[best], float(values[best]), float(values[best]) if proven else sign * bound)


def _interval(accepted: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail, rejected = (1 - _CONFIDENCE) / 2, _COUNTED_ON - accepted
    least = float(betaincinv(accepted, rejected + 1, tail)) if accepted else 0.0
    most = float(betaincinv(accepted + 1, rejected, 1 - tail)) if rejected else 1.0
    return least, most
