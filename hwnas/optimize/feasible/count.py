"""How many archs there are within the budgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.optimize.feasible.candidates import Candidates
from hwnas.optimize.feasible.grid import TOO_MANY

_DRAWS = 2**14
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
        """Whether the count is exact."""
        return self.low == self.high


def count_within(candidates: Candidates, space_size: int) -> FeasibleCount:
    """Count them.

    Exact where nothing is limited, where the grid is, or where those of which it isn't certain are few enough to look
    at each. Else the share of the candidates that are within the limits is estimated from draws: between the bounds of
    the discretisation error with one limit on a sum, in the interval of Clopper and Pearson (1934) otherwise.
    """
    size = candidates.grid.size

    def counted(count: int, low: int, high: int, confidence: float = 1.0) -> FeasibleCount:
        return FeasibleCount(count, low, high, count / space_size, count / max(size, 1), confidence)

    if not candidates.limited:
        return counted(*[space_size] * 3)
    if candidates.listed is not None:
        return counted(*[len(candidates.listed)] * 3)
    if candidates.complete and candidates.doubtful is not None and size < TOO_MANY:
        return counted(*[candidates.grid.certain + len(candidates.doubtful)] * 3)
    draws = candidates.grid.draw(_DRAWS, np.random.default_rng(0))
    accepted = len(candidates.within(draws))
    low, high = candidates.grid.certain if candidates.complete else 1, size
    if size >= TOO_MANY:
        low, high = max(int(low * (1 - _ROUNDING)), 1), min(int(high * (1 + _ROUNDING)), space_size)
    estimate = min(max(round(size * (accepted / _DRAWS)), low), high)
    if candidates.complete and candidates.grid.num_sums <= 1:
        return counted(estimate, low, high)
    least, most = _interval(accepted)
    return counted(estimate, max(low, int(least * size)), min(high, int(most * size) + 1), _CONFIDENCE)


def _interval(accepted: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail, rejected = (1 - _CONFIDENCE) / 2, _DRAWS - accepted
    least = float(betaincinv(accepted, rejected + 1, tail)) if accepted else 0.0
    most = float(betaincinv(accepted + 1, rejected, 1 - tail)) if rejected else 1.0
    return least, most
