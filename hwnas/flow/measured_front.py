"""The front of a search, measured on this machine: tables refitted, archs over budget replaced."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from hwnas.errors import HwnasError
from hwnas.flow.open import BudgetedTable
from hwnas.optimize.front import Front
from hwnas.optimize.measured_front import MeasuredResult, budget_as_searched, measure_front
from hwnas.optimize.result import SearchResult
from hwnas.prediction.refit import TableMeter, check_measurable
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.records.search import MeasuredFront, MeasuredNetwork, MeasuredObjective, SearchRecord, UnmeasurableArch

_CONFIDENCE = 0.01
_AT_LEAST_S = 5.0


def measurable(tables: Iterable[BudgetedTable]) -> list[BudgetedTable]:
    """Those tables that are of this machine; to be asked before a search begins.

    Raises:
        TableError, RuntimeMissingError, ConfigError: none is; why the first isn't.
    """
    found, reasons = [], []
    for each in tables:
        try:
            check_measurable(each.table)
        except HwnasError as error:
            reasons.append(type(error)(f"nothing to measure with {each}: {error}"))
        else:
            found.append(each)
    if not found and reasons:
        raise reasons[0]
    return found


def measure_front_of(
    found: SearchRecord,
    result: SearchResult,
    tables: Sequence[BudgetedTable],
    folder: Path,
    *,
    seconds: float = 30.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[SearchRecord, Front]:
    """Measure the front on this machine, ``seconds`` a round at most, refit, replace.

    Refitted tables are written into the search's ``folder``. What those of another machine predict stays as predicted.
    The first objective, then the second, decide who wins.

    Returns:
        The search with its measured front, and that front with its final values.

    Raises:
        TableError, RuntimeMissingError, ConfigError: no table is of this machine.
        DeviceError: the networks don't fit into memory.
        OutputError: a table can't be written.
    """
    predicting = [each for k, each in enumerate(tables) if any(o.table == k for o in found.objectives)]
    effort = Effort(confidence=_CONFIDENCE, at_least_s=min(_AT_LEAST_S, seconds), at_most_s=seconds)
    meters = {
        each.name: TableMeter(
            each.table,
            result.problem.space,
            check_measurable(each.table),
            {o.name: o.quantile for o in found.objectives if o.table == tables.index(each) and o.quantile},
            effort=effort, seed=seed, progress=progress,
        )
        for each in measurable(predicting)
    }  # fmt: skip
    measured = measure_front(result, list(meters.values()))
    objectives, points = [], []
    for name, meter in meters.items():
        file = "table.yaml" if len(meters) == 1 else f"table-{name}.yaml"
        meter.table.save(folder / file)
        for objective in meter.names:
            summary, its = _of_objective(found, measured, meter, objective, file)
            objectives.append(summary)
            points += its
    reasons = ChainMap(*(meter.failed for meter in meters.values()))
    front = result.to_front(rows=measured.front, values=measured.values)
    record = MeasuredFront(
        rounds=measured.rounds,
        unmeasured=tuple(measured.unmeasured.tolist()),
        failed=tuple(
            UnmeasurableArch(index=index, reason=reasons[tuple(found.archs[index].tolist())])
            for index in measured.failed.tolist()
        ),
        points=tuple(points),
        objectives=tuple(objectives),
    )
    final = {"front": tuple(measured.front.tolist()), "winner_index": measured.winner, "hypervolume": front.hypervolume}
    return found.model_copy(update={"measured": record, **final}), front


def _of_objective(
    found: SearchRecord, measured: MeasuredResult, meter: TableMeter, objective: str, file: str
) -> tuple[MeasuredObjective, list[MeasuredNetwork]]:
    """What was measured of one objective: all in all, and each network."""
    column = [each.name for each in found.objectives].index(objective)
    budget_ms, calibration = found.budgets.get(objective), meter.table.calibration
    points = []
    for index in np.flatnonzero(~np.isnan(measured.measured[:, column])).tolist():
        latency = meter.latency[tuple(found.archs[index].tolist())]
        measured_ms = float(measured.measured[index, column])
        points.append(
            MeasuredNetwork(
                index=index,
                objective=objective,
                predicted_ms=float(found.values[index, column]),
                refitted_ms=float(measured.refitted[index, column]),
                measured_ms=measured_ms,
                measured_p10_ms=latency.p10_ms,
                measured_p50_ms=latency.p50_ms,
                measured_p90_ms=latency.p90_ms,
                confidence_95=latency.confidence_95,
                drift=latency.drift,
                budget_ms=budget_ms,
                within=budget_ms is None or measured_ms <= budget_ms,
                on_front=index in measured.front,
            )
        )
    left_out_ms = meter.left_out_ms(objective)
    all_measured_ms = [point.measured_ms for point in points]
    summary = MeasuredObjective(
        objective=objective,
        device=str(meter.table.device),
        table=file,
        confidence_95=max((p.confidence_95 or 0.0 for p in points), default=None),
        error_90=calibration.error_90 if calibration else None,
        drift=median(network.drift for network in meter.latency.values()) if meter.latency else None,
        error_before=_mape([p.predicted_ms for p in points], all_measured_ms),
        error_after=_mape([left_out_ms[tuple(found.archs[p.index].tolist())] for p in points], all_measured_ms),
        budget_as_searched_ms=None
        if budget_ms is None or not points
        else budget_as_searched(found.values[:, column], measured.refitted[:, column], budget_ms),
    )
    return summary, points


def _mape(predicted_ms: list[float], measured_ms: list[float]) -> float | None:
    return float(np.abs(np.array(predicted_ms) / measured_ms - 1).mean()) if predicted_ms else None
