"""A search, closed: its front measured on this machine, the tables refitted, archs over budget replaced.

What comes out is ``search.json``'s key ``closing``; the refitted tables go into the search folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from hwnas.cli.objectives import Predicted
from hwnas.cli.tables import TableOption
from hwnas.errors import HwnasError
from hwnas.optimize.closing import Closing, budget_as_searched, close_loop
from hwnas.optimize.driver import SearchResult
from hwnas.optimize.front import Front
from hwnas.prediction.refit import TableMeter, check_measurable
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress

_CONFIDENCE = 0.01
_AT_LEAST_S = 5.0
_MOVED = "budget_as_searched_ms"


class Closed(NamedTuple):
    """``plain`` for JSON, see :func:`close_search`, and the front by the final values."""

    plain: dict[str, Any]
    front: Front


def measurable(tables: Iterable[TableOption]) -> list[TableOption]:
    """Those tables that are of this machine; to be asked before a search begins.

    Raises:
        TableError, RuntimeMissingError, ConfigError: none is; why the first isn't.
    """
    found, reasons = [], []
    for option in tables:
        try:
            check_measurable(option.table)
        except HwnasError as error:
            reasons.append(type(error)(f"nothing to measure with {option.path}: {error}"))
        else:
            found.append(option)
    if not found and reasons:
        raise reasons[0]
    return found


def close_search(
    result: SearchResult,
    predicted: Sequence[Predicted],
    folder: Path,
    *,
    seconds: float = 30.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Closed:
    """Measure the front on this machine, refit, replace; writes each refitted table into ``folder``.

    Args:
        result: of the search; its first objective, then its second, decide who wins.
        predicted: its objectives that tables predict; those whose tables are of another machine stay as predicted.
        folder: of the search.
        seconds: of measuring in each round, at most.
        seed: of inputs and orders.
        progress: called while measuring.

    Returns:
        ``plain`` has

        - ``rounds``, ``front`` and ``winner`` (rows of the search's archs), ``unmeasured`` (of the front, after the
          last round), ``failed`` (``index``, ``reason``: networks that can't be run);
        - ``points``: each measured arch and objective: ``index``, ``objective``, ``predicted_ms`` (when searched),
          ``refitted_ms``, ``measured_ms`` (of the objective's quantile), ``measured_p10_ms``, ``measured_p50_ms``,
          ``measured_p90_ms``, ``confidence_95`` (of the median), ``drift`` (which the measured times were divided by),
          ``budget_ms``, ``within``, ``on_front``;
        - ``objectives``: for each measured one its ``device``, ``drift`` (median of the points'), ``table`` (refitted,
          in the folder), ``error_before`` and ``error_after`` (mean absolute relative error of the predictions when
          searched, and of the refitted calibration for networks it is fitted without), ``error_90`` (half-width of the
          refitted table's interval for a median, relative), ``confidence_95`` (of the median that is known the least),
          ``budget_as_searched_ms``;
        - ``device``, ``drift``, ``table``, ``error_before``, ``error_after`` of the first of them.

    Raises:
        TableError, RuntimeMissingError, ConfigError: no table is of this machine.
        DeviceError: the networks don't fit into memory.
        OutputError: a table can't be written.
    """
    here = measurable({each.table.path: each.table for each in predicted}.values())
    effort = Effort(confidence=_CONFIDENCE, at_least_s=min(_AT_LEAST_S, seconds), at_most_s=seconds)
    meters = {
        option.path: TableMeter(
            option.table,
            result.problem.space,
            check_measurable(option.table),
            {each.objective: each.quantile for each in predicted if each.table.path == option.path},
            effort=effort, seed=seed, progress=progress,
        )
        for option in here
    }  # fmt: skip
    closing = close_loop(result, list(meters.values()))
    objectives, points = [], []
    for path, meter in meters.items():
        name = "table.yaml" if len(meters) == 1 else f"table-{path.stem}.yaml"
        meter.table.save(folder / name)
        for objective in meter.names:
            its = _points(result, closing, meter, objective)
            points += its
            objectives.append(
                {"objective": objective, "device": str(meter.table.device), "table": name}
                | _summary(result, closing, meter, objective, its)
            )
    first = objectives[0]
    plain = {
        **{key: first[key] for key in ("device", "drift", "table", "error_before", "error_after")},
        "rounds": closing.rounds,
        "front": closing.front.tolist(),
        "winner": closing.winner,
        "unmeasured": closing.unmeasured.tolist(),
        "failed": [_failure(result, index, meters.values()) for index in closing.failed.tolist()],
        "points": points,
        "objectives": objectives,
    }
    rows = closing.front
    return Closed(plain, replace(result.to_front(), archs=result.archs[rows], values=closing.values[rows]))


def _points(result: SearchResult, closing: Closing, meter: TableMeter, objective: str) -> list[dict[str, Any]]:
    column, budget_ms = _column(result, objective), _budget_ms(result, objective)
    points = []
    for index in np.flatnonzero(~np.isnan(closing.measured[:, column])).tolist():
        measured = meter.latency[tuple(result.archs[index].tolist())]
        measured_ms = float(closing.measured[index, column])
        points.append(
            {
                "index": index,
                "objective": objective,
                "predicted_ms": float(result.values[index, column]),
                "refitted_ms": float(closing.refitted[index, column]),
                "measured_ms": measured_ms,
                "measured_p10_ms": measured.p10_ms,
                "measured_p50_ms": measured.p50_ms,
                "measured_p90_ms": measured.p90_ms,
                "confidence_95": measured.confidence_95,
                "drift": measured.drift,
                "budget_ms": budget_ms,
                "within": budget_ms is None or measured_ms <= budget_ms,
                "on_front": index in closing.front,
            }
        )
    return points


def _summary(
    result: SearchResult, closing: Closing, meter: TableMeter, objective: str, points: list[dict[str, Any]]
) -> dict[str, Any]:
    column, budget_ms = _column(result, objective), _budget_ms(result, objective)
    left_out_ms = meter.left_out_ms(objective)
    measured_ms = {tuple(result.archs[p["index"]].tolist()): p["measured_ms"] for p in points}
    calibration = meter.table.calibration
    return {
        "confidence_95": max((p["confidence_95"] for p in points), default=None),
        "error_90": calibration.error_90 if calibration else None,
        "drift": median(network.drift for network in meter.latency.values()) if meter.latency else None,
        "error_before": _mape([p["predicted_ms"] for p in points], [p["measured_ms"] for p in points]),
        "error_after": _mape([left_out_ms[c] for c in measured_ms], list(measured_ms.values())),
        _MOVED: None
        if budget_ms is None or not points
        else budget_as_searched(result.values[:, column], closing.refitted[:, column], budget_ms),
    }


def _mape(predicted_ms: list[float], measured_ms: list[float]) -> float | None:
    return float(np.abs(np.array(predicted_ms) / measured_ms - 1).mean()) if predicted_ms else None


def _failure(result: SearchResult, index: int, meters: Iterable[TableMeter]) -> dict[str, Any]:
    choices = tuple(result.archs[index].tolist())
    return {"index": index, "reason": next(m.failed[choices] for m in meters if choices in m.failed)}


def _column(result: SearchResult, objective: str) -> int:
    return [each.name for each in result.problem.objectives].index(objective)


def _budget_ms(result: SearchResult, objective: str) -> float | None:
    return next((float(b.at_most) for b in result.problem.budgets if b.objective_name == objective), None)


def told(closing: dict[str, Any]) -> list[str]:
    """A closing in lines to read."""
    lines = []
    for each in closing["objectives"]:
        points = [point for point in closing["points"] if point["objective"] == each["objective"]]
        if not points:
            continue
        over, budget_ms, moved_ms = sum(not p["within"] for p in points), points[0]["budget_ms"], each[_MOVED]
        lines += [
            f"{each['objective']}: measured {len(points)} networks in {closing['rounds']} rounds on {each['device']}",
            f"  the machine's drift since the table was made, {each['drift']:.3f} ×, is taken out of measured times",
            f"  predictions were off by {each['error_before']:.1%} on average, those of {each['table']}, refitted, by "
            f"{each['error_after']:.1%} for networks left out of the fit",
        ]
        if each["confidence_95"] > each["error_90"]:
            lines.append(
                f"  measured medians are known to ±{each['confidence_95']:.1%} only, less well than they are predicted "
                f"(±{each['error_90']:.1%}): measure again without other work on the machine, or for more seconds"
            )
        if over:
            lines.append(f"  {over} were over the budget of {budget_ms:.6g} ms and left the front")
        if moved_ms is not None and moved_ms > budget_ms * (1 + each["error_after"]):  # else it is noise
            lines.append(
                f"  archs once predicted at up to {moved_ms:.6g} ms are within the budget by {each['table']}: search "
                "again with it to find them"
            )
    lines += [f"can't be run: arch {each['index']}: {each['reason']}" for each in closing["failed"][:5]]
    if closing["unmeasured"]:
        lines.append(f"{len(closing['unmeasured'])} archs of the front weren't measured, and stay as predicted")
    if not closing["front"]:
        lines.append("no arch that was evaluated is within the budgets once measured: search again with the new table")
    return lines
