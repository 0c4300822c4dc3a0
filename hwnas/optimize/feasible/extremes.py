"""The archs within the budgets that have least and most of something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Archs
from hwnas.optimize.feasible.candidates import Candidates
from hwnas.optimize.feasible.grid import extreme_maximum
from hwnas.optimize.feasible.limits import joined
from hwnas.optimize.problem import Objective

_DRAWS = 2**12


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


def extremes(candidates: Candidates, anchor: Archs, objective: Objective) -> tuple[Extreme, Extreme]:
    """The least and the most of a free objective within the limits.

    Exact where the archs within the limits can be listed, and where the best arch on the grid, or of the space for a
    maximum, is within the limits.
    """
    return _extreme(candidates, anchor, objective, 1), _extreme(candidates, anchor, objective, -1)


def _extreme(candidates: Candidates, anchor: Archs, objective: Objective, sign: int) -> Extreme:
    archs, bound, proven = candidates.listed, -np.inf, True
    if archs is None:
        steps = joined(objective, candidates.space, "sum")
        largest = joined(objective, candidates.space, "max")
        near = anchor[None]
        if steps is not None:
            bound, near = candidates.grid.least(steps.times(sign))
        elif largest is not None:
            near = extreme_maximum(largest, sign)[None]
            bound = sign * float(objective.values(near)[0])
        proven = bound > -np.inf and bool(len(candidates.within(near[:1])))
        archs = np.concatenate([anchor[None], candidates.within(near)])
        if not proven and (steps is None or not candidates.complete):
            archs = np.concatenate([archs, candidates.within(candidates.grid.draw(_DRAWS, np.random.default_rng(0)))])
    if sign < 0:
        bound = max(bound, -candidates.at_most(objective))
    values = objective.values(archs)
    best = int(np.argmin(sign * values))
    return Extreme(archs[best], float(values[best]), float(values[best]) if proven else sign * bound)
