"""A search that is to be kept: its settings before it begins, its record when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from hwnas.optimize.driver import SearchResult

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


def record_of(result: SearchResult, asked: SearchSettings, baseline: SearchResult | None = None) -> SearchRecord:
    """All that a search evaluated.

    Args:
        result: of the search.
        asked: what it was begun with.
        baseline: as many random archs, within the same budgets.
    """
    front = result.to_front()
    return SearchRecord(
        **{name: getattr(asked, name) for name in type(asked).model_fields if name != "store"},
        archs=result.archs,
        values=result.values,
        failed=tuple(FailedArch(choices=tuple(arch.tolist()), reason=reason) for arch, reason in result.failed),
        front=tuple(result.front.tolist()),
        winner_index=result.winner,
        reference=front.reference,
        hypervolume=front.hypervolume,
        hypervolume_history=result.hypervolume_history(front.reference),
        baseline=None
        if baseline is None
        else Baseline(
            evaluations=len(baseline.archs), hypervolume_history=baseline.hypervolume_history(front.reference)
        ),
    )
