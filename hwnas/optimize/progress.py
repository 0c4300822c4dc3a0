"""What a search says while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Values
from hwnas.optimize.pareto import hypervolume, non_dominated, worst
from hwnas.optimize.problem import Problem


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        evaluations: archs evaluated so far, those that failed among them.
        total: archs that it may evaluate.
        hypervolume: of the archs within budget in all finished batches, measured from ``reference``; it never falls.
        reference: (K,) the worst values of the first batch; None until that is finished.
        failed: archs that couldn't be evaluated.
        best: (K,) values of the arch within budget that is best in the first objective, in all finished batches;
            None while there is none.
    """

    evaluations: int
    total: int
    hypervolume: float
    reference: Values | None
    failed: int = 0
    best: Values | None = None


class Reporter:
    """Calls ``progress``. Its reference point stays, so that hypervolumes can be compared."""

    def __init__(self, problem: Problem, total: int, progress: Callable[[SearchProgress], None] | None) -> None:
        self._problem, self._total, self._progress = problem, total, progress
        self._reference: Values | None = None
        self._front = np.empty((0, len(problem.objectives)))
        self._volume = 0.0

    def told(self, values: Values) -> None:
        """A batch is finished; its values (N, K) are those that could be had."""
        if self._progress is None or not len(values):
            return
        maximize = self._problem.maximize
        if self._reference is None:
            self._reference = worst(values, maximize)
        within = np.concatenate([self._front, values[self._problem.excess(values) <= 0]])
        self._front = within[non_dominated(within, maximize)]
        self._volume = hypervolume(self._front, self._reference, maximize)

    def evaluated(self, evaluations: int, failed: int) -> None:
        """One arch more; the last is reported when its batch is finished, and what that found is known."""
        if evaluations < self._total:
            self.report(evaluations, failed)

    def report(self, evaluations: int, failed: int) -> None:
        if self._progress is None:
            return
        best = self._front[self._problem.minimised(self._front)[:, 0].argmin()] if len(self._front) else None
        self._progress(SearchProgress(evaluations, self._total, self._volume, self._reference, failed, best))
