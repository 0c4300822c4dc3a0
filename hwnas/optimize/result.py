"""A search as it is kept: its settings before it begins, its result, front and record when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Indices, Values
from hwnas.brief import Brief
from hwnas.errors import InputError
from hwnas.optimize.front import Front, FrontBudget, FrontObjective, FrontPoint
from hwnas.optimize.pareto import front_within, hypervolume, non_dominated, worst
from hwnas.optimize.problem import Problem
from hwnas.records.search import (
    Baseline,
    FailedArch,
    SearchedSupernet,
    SearchedTable,
    SearchObjective,
    SearchRecord,
    SearchSettings,
)
from hwnas.tables.table import Quantile

_UNITS = {
    "accuracy": "fraction", "model_mb": "MB", "peak_activation_mb": "MB", "madds": "madds", "params": "params",
}  # fmt: skip


def unit_of(name: str) -> str:
    """In which the objective of that name is told; see `SearchObjective`."""
    return _UNITS.get(name) or ("ms" if name.startswith("latency_") or name.endswith("_ms") else "")


def settings_of(
    problem: Problem,
    strategy: str,
    seed: int,
    *,
    supernet: SearchedSupernet | None = None,
    tables: Sequence[SearchedTable] = (),
    predicted: Mapping[str, tuple[int, Quantile]] | None = None,
    store: Path | None = None,
) -> SearchSettings:
    """What decides the course of a search.

    Args:
        problem: with objectives that may be any callables.
        strategy: its name.
        seed: of all random draws.
        supernet: that gives the accuracies.
        tables: that predict latencies.
        predicted: objective's name -> index of the table that predicts it, and which quantile of a network's runs.
        store: file of the evaluations.
    """
    columns = {o.name: (predicted or {}).get(o.name, (None, None)) for o in problem.objectives}
    return SearchSettings(
        space=problem.space.ref,
        stabilizers=problem.space.inherits,
        supernet=supernet,
        tables=tuple(tables),
        strategy=strategy,
        objectives=tuple(
            SearchObjective(
                name=o.name,
                unit=unit_of(o.name),
                maximize=o.maximize,
                weight=float(o.weight),
                table=columns[o.name][0],
                quantile=columns[o.name][1],
            )
            for o in problem.objectives
        ),
        budgets={budget.objective_name: float(budget.at_most) for budget in problem.budgets},
        seed=seed,
        store=store,
    )


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Brief):
    """Everything a search evaluated.

    Attributes:
        problem: the space, objectives and budgets.
        archs: (M, L) those that could be evaluated, in their order, all different.
        values: (M, K) in the objectives' own signs and units.
        seed: of the search.
        failed: archs (L,) that couldn't be evaluated, each with the reason; they aren't among ``archs``.
        strategy: name of what proposed them.
    """

    problem: Problem
    archs: Archs
    values: Values
    seed: int
    failed: tuple[tuple[Archs, str], ...] = ()
    strategy: str = "unknown"

    @property
    def front(self) -> Indices:
        """Ascending indices of the archs within budget that none within budget dominates; equals are all kept."""
        return front_within(self.problem, self.values)

    def to_front(
        self, reference: npt.ArrayLike | None = None, *, rows: Indices | None = None, values: Values | None = None
    ) -> Front:
        """The front on its own, as it is kept in a file.

        Args:
            reference: (K,) point from which hypervolume is measured, in the objectives' own signs and units; the
                worst value of each objective among all evaluated archs when None.
            rows: indices of the archs that are on it; those of ``front`` when None.
            values: (M, K) in place of those as searched, where more is known now.

        Raises:
            InputError: the reference isn't K finite numbers.
        """
        problem, rows = self.problem, self.front if rows is None else rows
        points = (self.values if values is None else values)[rows]
        origin = worst(self.values, problem.maximize) if reference is None else np.asarray(reference, dtype=np.float64)
        if origin.shape != (len(problem.objectives),) or not np.isfinite(origin).all():
            raise InputError(f"a reference point is one finite number per objective, got {reference!r}")
        return Front(
            space=problem.space.ref,
            objectives=tuple(FrontObjective(name=o.name, maximize=o.maximize) for o in problem.objectives),
            budgets=tuple(FrontBudget(objective=b.objective_name, at_most=float(b.at_most)) for b in problem.budgets),
            evaluations=len(self.archs) + len(self.failed),
            seed=self.seed,
            reference=tuple(origin.tolist()),
            hypervolume=hypervolume(points, origin, problem.maximize),
            points=tuple(
                FrontPoint(choices=tuple(arch), values=tuple(its))
                for arch, its in zip(self.archs[rows].tolist(), points.tolist(), strict=True)
            ),
        )

    @property
    def winner(self) -> int | None:
        """Index of the front's best in the first objective, of equals in the second; None without a front."""
        minimised = self.problem.minimised(self.values)[:, :2].tolist()
        return min(self.front.tolist(), key=lambda index: minimised[index], default=None)

    def hypervolume_history(self, reference: npt.ArrayLike) -> tuple[float, ...]:
        """Hypervolume, from a reference point (K,), of the archs within budget after each that was evaluated."""
        minimised, origin = self.problem.minimised(self.values), self.problem.minimised(np.asarray(reference))
        minimise = [False] * len(self.problem.objectives)
        front = minimised[:0]
        volume, history = 0.0, []
        for row, over in zip(minimised, self.problem.excess(self.values) > 0, strict=True):
            if not over and not (front <= row).all(axis=1).any():  # else the front stays as it is
                front = np.concatenate([front, row[None]])
                front = front[non_dominated(front, minimise)]
                volume = hypervolume(front, origin, minimise)
            history.append(volume)
        return tuple(history)

    def to_record(self, asked: SearchSettings | None = None, baseline: SearchResult | None = None) -> SearchRecord:
        """All of it as a record that can be saved, reported and derived from.

        Args:
            asked: what it was begun with; when None, a search that knows of no supernet and no table.
            baseline: as many random archs, within the same budgets.
        """
        asked = asked or settings_of(self.problem, self.strategy, self.seed)
        front = self.to_front()
        return SearchRecord(
            **{name: getattr(asked, name) for name in type(asked).model_fields if name != "store"},
            archs=self.archs,
            values=self.values,
            failed=tuple(FailedArch(choices=tuple(arch.tolist()), reason=reason) for arch, reason in self.failed),
            front=tuple(self.front.tolist()),
            winner_index=self.winner,
            reference=front.reference,
            hypervolume=front.hypervolume,
            hypervolume_history=self.hypervolume_history(front.reference),
            baseline=None
            if baseline is None
            else Baseline(
                evaluations=len(baseline.archs), hypervolume_history=baseline.hypervolume_history(front.reference)
            ),
        )
