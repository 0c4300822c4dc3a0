"""The section on the measured front: what each network was predicted to take, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from hwnas.errors import counted
from hwnas.records.search import MeasuredFront, MeasuredNetwork, MeasuredObjective, SearchRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, code, details, facts, join, lead
from hwnas.reporting.units import are, by_commas, compared, milliseconds, named, percent, words

_ROW_PX, _AROUND_PX = 26, 110


def measured_section(search: SearchRecord, measured: MeasuredFront) -> Html:
    """For each latency that was measured a chart and a table of its networks, the fastest first."""
    parts = []
    for number, each in enumerate(measured.objectives):
        points = sorted(measured.points_of(each.objective), key=lambda point: point.measured_ms)
        if points:
            text = _lead(each, points)
            parts += [lead(text), _card(search, points, number, text), _table(search, points)]
    if not parts:
        parts.append(lead("The device was there, but no network of the front was measured."))
    if measured.failed:
        rows = [[code(by_commas(search.archs[failed.index])), failed.reason] for failed in measured.failed]
        summary = f"{_networks(len(rows))} left out, as {'it' if len(rows) == 1 else 'they'} couldn't be run"
        parts.append(details(summary, ["choices", "why"], rows, align="ll"))
    return join(*parts, facts(_known(measured)))


def _lead(measured: MeasuredObjective, points: Sequence[MeasuredNetwork]) -> str:
    text = f"{_networks(len(points))} measured."
    if measured.error_before is not None and measured.error_after is not None:
        text += (
            f" The mean absolute error of the prediction was {percent(measured.error_before)}; of the table refitted "
            f"with them it is {percent(measured.error_after)} for networks left out of the fit."
        )
    over, budget_ms = sum(not point.within for point in points), points[0].budget_ms
    if over:
        text += f" {over} of them {are(over)} over budget and no longer on the front."
    elif budget_ms is not None:
        text += " All keep their budget."
    moved_ms = measured.budget_as_searched_ms
    if moved_ms and budget_ms and moved_ms > budget_ms * (1 + (measured.error_after or 0)):  # else it is noise
        text += (
            f" By the refitted table, networks once predicted at up to {milliseconds(moved_ms)} are within the budget: "
            "search again with it to find them."
        )
    return text


def _networks(count: int) -> str:
    return f"{counted(count, 'network')} {'was' if count == 1 else 'were'}"


def _label(search: SearchRecord, index: int) -> str:
    """What an evaluated arch is known by: the value of what is maximised, else its number."""
    for objective, value in zip(search.objectives, search.values[index], strict=True):
        if objective.maximize:
            return named(objective, value)
    return f"evaluation {index + 1}"


def _known(measured: MeasuredFront) -> dict[str, object]:
    known: dict[str, object] = {"rounds of measuring": str(measured.rounds)}
    if measured.unmeasured:
        known["not measured"] = f"{len(measured.unmeasured)} of the front, which stay as predicted"
    for each in measured.objectives:
        of_which = f" ({words(each.objective)})" if len(measured.objectives) > 1 else ""
        known[f"device{of_which}"] = each.device
        if each.drift is not None:
            drift = f"{each.drift:.3f} × as slow as when the table was made; the measurements are divided by it"
            known[f"the machine meanwhile{of_which}"] = drift
        known[f"refitted table{of_which}"] = each.table
    return known


def _card(search: SearchRecord, points: Sequence[MeasuredNetwork], number: int, text: str) -> Html:
    note = (
        "A row is a network, from what was predicted when it was searched to what was measured; the whiskers go from "
        "the 10th to the 90th percentile of its runs."
    )
    if not all(point.within for point in points):
        note += " A cross is a measurement over budget."
    name = words(points[0].objective)
    height_px = _AROUND_PX + _ROW_PX * max(4, len(points))
    return charts.card(
        f"Predicted and measured {name}", note, measured_figure(search, points), f"chart-measured-{number}",
        height_px=height_px, description=f"{name.capitalize()} predicted and measured. {text}",
    )  # fmt: skip


def measured_figure(search: SearchRecord, points: Sequence[MeasuredNetwork]) -> go.Figure:
    """A row per network, the first on top: predicted, refitted and measured latency, and the budget."""
    budget_ms = points[0].budget_ms
    all_ms = [ms for p in points for ms in (p.predicted_ms, p.refitted_ms, p.measured_p10_ms, p.measured_p90_ms)]
    x_range = charts.padded_range(all_ms, budget_ms)
    names = [_label(search, p.index) for p in points]
    figure = charts.blank(
        {"title": f"{charts.label(words(points[0].objective))} (ms)", "range": x_range},
        charts.rows_axis(names, range=[len(points) - 0.4, -1.1]),  # the budget's label is on top
    )
    moves = [ms for p in points for ms in (p.predicted_ms, p.measured_ms, None)]
    rows = [row for row in range(len(points)) for _ in range(3)]
    charts.line(figure, moves, rows, {"color": charts.GREY, "width": 2})

    def dots(name: str, at_ms: Mapping[int, float], symbol: str, color: str, **more: object) -> None:
        texts = [_hover_text(search, points[row]) for row in at_ms]
        marker = {"symbol": symbol, "size": 10, "color": color} | ({} if more else {"line": {"width": 2}})
        charts.dots(figure, list(at_ms.values()), list(at_ms), texts, marker, name, **more)

    dots("predicted when searched", {row: p.predicted_ms for row, p in enumerate(points)}, "circle-open", charts.GREY)
    dots("predicted after refitting", {row: p.refitted_ms for row, p in enumerate(points)}, "diamond-open", charts.TEAL)
    for name, within, symbol, color in (
        ("measured", True, "circle", charts.BLUE),
        ("measured, over budget", False, "x", charts.SCARLET),
    ):
        at_ms = {row: p.measured_ms for row, p in enumerate(points) if p.within == within}
        if at_ms:
            ends = ([points[row].measured_p10_ms for row in at_ms], [points[row].measured_p90_ms for row in at_ms])
            bars = charts.whiskers(at_ms.values(), *ends, color=color, thickness=1.2, width=3)
            dots(name, at_ms, symbol, color, error_x=bars)
    if budget_ms is not None:
        charts.budget(figure, budget_ms, x_range, milliseconds(budget_ms))
    return figure


def _hover_text(search: SearchRecord, point: MeasuredNetwork) -> str:
    return charts.hover_text(
        by_commas(search.archs[point.index]),
        _label(search, point.index),
        f"predicted {milliseconds(point.predicted_ms)}",
        f"refitted {milliseconds(point.refitted_ms)}",
        f"measured {milliseconds(point.measured_ms)}",
        _verdict(point),
    )


def _verdict(point: MeasuredNetwork) -> str:
    if not point.within:
        return "over budget, left the front"
    return "on the front" if point.on_front else "within budget, beaten"


def _table(search: SearchRecord, points: Sequence[MeasuredNetwork]) -> Html:
    rows = []
    for p in points:
        times_ms = (p.predicted_ms, p.refitted_ms, p.measured_ms, p.measured_p10_ms, p.measured_p90_ms)
        which = code(by_commas(search.archs[p.index])), _label(search, p.index)
        rows.append([*which, *map(milliseconds, times_ms), compared(p.predicted_ms, p.measured_ms), _verdict(p)])
    head = ["choices", "", "predicted", "refitted", "measured", "p10", "p90", "the prediction was", "so it is"]
    return details(f"All {counted(len(rows), 'network')}, as a table", head, rows, align="llrrrrrrl")
