"""A front that was predicted is measured, and what turns out to be over budget is replaced.

Predict, measure, refit, replace, until all of the front is measured. Accuracy is never asked again: every arch that
may come in was evaluated by the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hwnas.arrays import Archs, Flags, Indices, Values
from hwnas.optimize.pareto import front_within
from hwnas.optimize.result import SearchResult
from hwnas.optimize.strategies.parts.vary import spread

_NEAREST = 10


class Meter(Protocol):
    """A device that is here: J objectives whose values were predicted and can be measured.

    Attributes:
        names: of the J objectives.
    """

    names: tuple[str, ...]

    def measure(self, archs: Archs) -> Values:
        """Measure (N, L) archs, all of them new to it, and learn from it: (N, J), NaN for those that can't be run."""

    def predict(self, archs: Archs) -> Values:
        """(N, J) predictions for (N, L) archs, refitted by all that was measured."""


@dataclass(frozen=True, eq=False)
class MeasuredResult:
    """A search's archs, and what is known of them after measuring; M archs, K objectives as in the search.

    Attributes:
        values: (M, K) measured where that was done, else refitted where an objective can be measured, else as searched.
        measured: (M, K) NaN where nothing was measured.
        refitted: (M, K) predictions after the last refit; NaN for objectives that can't be measured.
        failed: (M,) the archs that can't be run; never on the front.
        front: ascending indices of the archs within budget that none within budget dominates, by ``values``.
        unmeasured: those of the front that the last round left unmeasured.
        winner: the best of the front's measured archs in the first objective, then in the second; None without any.
        rounds: of measuring.
    """

    values: Values
    measured: Values
    refitted: Values
    failed: Indices
    front: Indices
    unmeasured: Indices
    winner: int | None
    rounds: int


def measure_front(
    result: SearchResult, meters: Sequence[Meter], *, most_per_round: int = 30, most_rounds: int = 5
) -> MeasuredResult:
    """Measure the front of a search, refit, take the front anew, and so on until all of it is measured.

    The front is that of all archs the search evaluated, by their measured values and, for the others, by refitted
    predictions. Where it has more unmeasured archs than a round may measure, the best in each objective go first, then
    those that lie farthest from all measured ones (Gonzalez 1985 §3).

    Args:
        result: of a search.
        meters: of different objectives.
        most_per_round: archs that are measured together.
        most_rounds: after so many, what is unmeasured stays so.
    """
    problem, shape = result.problem, result.values.shape
    values, measured, refitted = result.values.copy(), np.full(shape, np.nan), np.full(shape, np.nan)
    columns = [[[o.name for o in problem.objectives].index(name) for name in meter.names] for meter in meters]
    runs, tried = np.ones(shape[0], dtype=bool), np.zeros(shape[0], dtype=bool)
    rounds = 0
    while True:
        front = front_within(problem, values, runs)
        waiting = ~tried[front]
        if not waiting.any() or rounds == most_rounds:
            break
        rounds += 1
        chosen = front[_cover(problem.minimised(values[front]), waiting, most_per_round)]
        tried[chosen] = True
        for meter, its in zip(meters, columns, strict=True):
            found = meter.measure(result.archs[chosen])
            measured[chosen[:, None], its] = found
            runs[chosen] &= ~np.isnan(found).any(axis=1)
            refitted[:, its] = meter.predict(result.archs)
            values[:, its] = np.where(np.isnan(measured[:, its]), refitted[:, its], measured[:, its])
    minimised = problem.minimised(values).tolist()
    winner = min(front[~waiting].tolist(), key=lambda arch: minimised[arch], default=None)
    return MeasuredResult(values, measured, refitted, np.flatnonzero(~runs), front, front[waiting], winner, rounds)


def budget_as_searched(searched: Values, refitted: Values, at_most: float) -> float:
    """How high the budget of a search would have had to be for its own predictor to let the same archs in.

    Higher than ``at_most``: there are archs within budget that the search kept out. Lower: it let in archs over budget.

    Args:
        searched: (M,) what the search's predictor says of its archs.
        refitted: (M,) what the refitted one says; the archs that it puts nearest to the budget count.
        at_most: the budget.
    """
    nearest = np.argsort(np.abs(refitted - at_most), kind="stable")[: max(_NEAREST, len(refitted) // 10)]
    return float(at_most * np.median(searched[nearest] / refitted[nearest]))


def _cover(points: Values, waiting: Flags, count: int) -> Indices:
    """At most ``count`` positions of the (P, K) minimised points that are ``waiting`` (P,), spread over all points."""
    if waiting.sum() <= count:
        return np.flatnonzero(waiting)
    order = [np.lexsort((*np.delete(points, k, axis=1).T[::-1], column))[0] for k, column in enumerate(points.T)]
    chosen = [int(end) for end in dict.fromkeys(order) if waiting[end]][:count]
    return spread(points, count, chosen, np.flatnonzero(~waiting).tolist())
