"""Evaluating a batch: free objectives at once; of the others what the store doesn't know, by workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import InputError, ObjectiveError
from hwnas.optimize.problem import Objective, Problem
from hwnas.optimize.store import StoredSearch
from hwnas.workers.base import Done, Workers
from hwnas.workers.registry import Here

_MOST_FAILED = 0.2
_FEW = 10
"""With fewer evaluations, a share of failures says little until the search is over."""


def _evaluate_one(paid: dict[int, Objective], item: tuple[int, Archs]) -> float:
    """The value of one of the objectives that aren't free, by its column, for an arch (L,); workers call it."""
    column, arch = item
    return float(paid[column].values(arch[None])[0])


class Evaluation:
    """Evaluates a search's archs, and counts.

    Args:
        problem, record: the search, and what a store knows of it.
        workers: who calls the objectives that aren't free.
        finished: called with ``evaluated`` and ``failed`` whenever a worker has finished.

    Attributes:
        evaluated: archs so far, those that failed among them.
        failed: those.
        failures: the same, batch by batch: arch (L,) and reason.
    """

    def __init__(
        self, problem: Problem, record: StoredSearch | None, workers: Workers, finished: Callable[[int, int], None]
    ) -> None:
        self._problem, self._record, self._workers, self._finished = problem, record, workers, finished
        self._paid = {column: o for column, o in enumerate(problem.objectives) if not o.free}
        self._function = partial(_evaluate_one, self._paid)
        self.evaluated = self.failed = 0
        self._latest_reason = ""
        self.failures: list[tuple[Archs, str]] = []

    def __call__(self, archs: Archs) -> tuple[Archs, Values]:
        """Those of (N, L) archs that could be evaluated, in their order, and their values (·, K).

        Raises:
            ObjectiveError: a free objective failed, or too many of the others.
            InputError, OutputError: the store was damaged, or can't be used.
        """
        values = np.empty((len(archs), len(self._problem.objectives)))
        for column, objective in enumerate(self._problem.objectives):
            if objective.free:
                values[:, column] = objective.values(archs)
        if not self._paid:
            self.evaluated += len(archs)
            return archs, values
        reasons = self._pay(archs, values)
        self.failures += [(archs[row], reasons[row]) for row in sorted(reasons)]
        worked = [row for row in range(len(archs)) if row not in reasons]
        return archs[worked], values[worked]

    def _pay(self, archs: Archs, values: Values) -> dict[int, str]:
        """Fill in what isn't free; returns why which rows failed."""
        objectives = self._problem.objectives
        planned = self.evaluated + len(archs)
        said: list[dict[int, str]] = [{} for _ in archs]  # by row and column, why it failed
        left = [len(self._paid)] * len(archs)

        def note(row: int, column: int, outcome: float | str) -> None:
            left[row] -= 1
            self.evaluated += not left[row]
            if isinstance(outcome, float):
                least, most = objectives[column].within
                if not least <= outcome <= most:
                    arch = ",".join(map(str, archs[row]))
                    raise InputError(  # what is computed here is checked before it is kept
                        f"the store has {outcome:g} as {objectives[column].name} of arch {arch}, must be {least:g} to "
                        f"{most:g}: it was altered; remove it, or choose another file (--store)"
                    )
                values[row, column] = outcome
                return
            self.failed += not said[row]
            said[row][column] = self._latest_reason = outcome
            if planned >= _FEW:
                self.judge(planned)

        # One by one where nobody works side by side: another process that shares the store may have evaluated the next.
        together = 1 if isinstance(self._workers, Here) else len(archs)
        for start in range(0, len(archs), together):
            pairs = []
            for row, column in product(range(start, min(start + together, len(archs))), self._paid):
                known = self._record.known(archs[row], objectives[column].name) if self._record else None
                if known is None:
                    pairs.append((row, column))
                else:
                    note(row, column, known)
            items = [(column, archs[row]) for row, column in pairs]
            for outcome in self._workers.map(self._function, items) if items else ():
                row, column = pairs[outcome.index]
                found = float(outcome.value) if isinstance(outcome, Done) else outcome.reason
                if self._record:
                    free = {o.name: float(v) for o, v in zip(objectives, values[row], strict=True) if o.free}
                    found = self._record.keep(archs[row], objectives[column].name, outcome, free)
                note(row, column, found)
                self._finished(self.evaluated, self.failed)
        return {row: reasons[min(reasons)] for row, reasons in enumerate(said) if reasons}

    def judge(self, evaluated: int) -> None:
        """Give up when more than a fifth of so many failed.

        Raises:
            ObjectiveError: so it is.
        """
        if self.failed > _MOST_FAILED * evaluated:
            if self._record:
                self._record.give_up()
            raise ObjectiveError(
                f"{self.failed} of {self.evaluated} evaluations failed, and a search ends when more than a fifth do; "
                f"the latest: {self._latest_reason}; mend the cause and run it again, a store keeps what worked"
            )
