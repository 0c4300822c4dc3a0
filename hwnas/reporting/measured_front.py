"""The section on the measured front: what each network was predicted to take, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from hwnas.records.search import MeasuredFront, MeasuredNetwork, MeasuredObjective, SearchRecord
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, table
from hwnas.reporting.page import chart
from hwnas.reporting.theme import BLUE, GREY, SCARLET, TEAL, TEMPLATE, draw_budget, label, padded_range
from hwnas.reporting.units import compared, milliseconds, percent, shown, words

_ROW_PX, _AROUND_PX = 26, 110


def measured_section(search: SearchRecord, measured: MeasuredFront) -> Html:
    """For each latency that was measured a chart and a table of its networks, the fastest first."""
    parts = []
    for number, each in enumerate(measured.objectives):
        points = sorted(measured.points_of(each.objective), key=lambda point: point.measured_ms)
        if points:
            parts += [lead(_lead(each, points)), _card(search, each, points, number), _table(search, points)]
    if not parts:
        parts.append(lead("The device was there, but no network of the front was measured."))
    if measured.failed:
        rows = [[_choices(search, failed.index), failed.reason] for failed in measured.failed]
        summary = f"{_networks(len(rows))} left out, as {'it' if len(rows) == 1 else 'they'} couldn't be run"
        parts.append(details(summary, table(["choices", "why"], rows, align="ll")))
    return join([*parts, facts(_known(measured))])


def _lead(measured: MeasuredObjective, points: Sequence[MeasuredNetwork]) -> str:
    text = f"{_networks(len(points))} measured."
    if measured.error_before is not None and measured.error_after is not None:
        text += (
            f" The mean absolute error of the prediction was {percent(measured.error_before)}; of the table refitted "
            f"with them it is {percent(measured.error_after)} for networks left out of the fit."
        )
    over, budget_ms = sum(not point.within for point in points), points[0].budget_ms
    if over:
        text += f" {over} of them {'is' if over == 1 else 'are'} over budget and no longer on the front."
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
    return f"{count} network{' was' if count == 1 else 's were'}"


def _choices(search: SearchRecord, index: int) -> Html:
    return code(",".join(map(str, search.archs[index])))


def _label(search: SearchRecord, index: int) -> str:
    """What an evaluated arch is known by: the value of what is maximised, else its number."""
    for objective, value in zip(search.objectives, search.values[index], strict=True):
        if objective.maximize:
            return f"{words(objective.name)} {shown(value, objective.unit)}"
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


def _card(search: SearchRecord, measured: MeasuredObjective, points: Sequence[MeasuredNetwork], number: int) -> Html:
    note = (
        "A row is a network, from what was predicted when it was searched to what was measured; the whiskers go from "
        "the 10th to the 90th percentile of its runs."
    )
    if not all(point.within for point in points):
        note += " A cross is a measurement over budget."
    name = words(measured.objective)
    drawn = chart(
        measured_figure(search, points),
        f"chart-measured-{number}",
        height_px=_AROUND_PX + _ROW_PX * max(4, len(points)),
        description=f"{name.capitalize()} predicted and measured. {_lead(measured, points)}",
    )
    return card(f"Predicted and measured {name}", note, drawn)


def measured_figure(search: SearchRecord, points: Sequence[MeasuredNetwork]) -> go.Figure:
    """A row per network, the first on top: predicted, refitted and measured latency, and the budget."""
    budget_ms = points[0].budget_ms
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_scatter(
        x=[ms for p in points for ms in (p.predicted_ms, p.measured_ms, None)],
        y=[row for row in range(len(points)) for _ in range(3)],
        mode="lines",
        line={"color": GREY, "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )

    def dots(what: str, at_ms: Mapping[int, float], marker: dict[str, object], **more: object) -> None:
        figure.add_scatter(
            x=list(at_ms.values()),
            y=list(at_ms),
            text=[_hover_text(search, points[row]) for row in at_ms],
            name=what,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<extra></extra>",
            **more,
        )

    dots("predicted when searched", {row: p.predicted_ms for row, p in enumerate(points)}, _open("circle-open", GREY))
    dots("predicted after refitting", {row: p.refitted_ms for row, p in enumerate(points)}, _open("diamond-open", TEAL))
    for what, within, symbol, color in (
        ("measured", True, "circle", BLUE),
        ("measured, over budget", False, "x", SCARLET),
    ):
        those = {row: point for row, point in enumerate(points) if point.within == within}
        if those:
            measured_ms = {row: point.measured_ms for row, point in those.items()}
            marker = {"symbol": symbol, "size": 10, "color": color}
            dots(what, measured_ms, marker, error_x=_whiskers(list(those.values()), color))
    all_ms = [ms for p in points for ms in (p.predicted_ms, p.refitted_ms, p.measured_p10_ms, p.measured_p90_ms)]
    x_range = padded_range([*all_ms, *([] if budget_ms is None else [budget_ms])])
    if budget_ms is not None:
        draw_budget(figure, budget_ms, x_range, milliseconds(budget_ms))
    figure.update_xaxes(title=f"{label(words(points[0].objective))} (ms)", range=x_range)
    ticks = {"tickvals": list(range(len(points))), "ticktext": [label(_label(search, p.index)) for p in points]}
    figure.update_yaxes(**ticks, range=[len(points) - 0.4, -1.1], showgrid=False)  # the budget's label is on top
    return figure


def _open(symbol: str, color: str) -> dict[str, object]:
    return {"symbol": symbol, "size": 10, "color": color, "line": {"width": 2}}


def _whiskers(points: Sequence[MeasuredNetwork], color: str) -> dict[str, object]:
    """From the 10th to the 90th percentile of each."""
    low_ms = [p.measured_ms - p.measured_p10_ms for p in points]
    high_ms = [p.measured_p90_ms - p.measured_ms for p in points]
    ends = {"type": "data", "symmetric": False, "arrayminus": low_ms, "array": high_ms}
    return {**ends, "color": color, "thickness": 1.2, "width": 3}


def _hover_text(search: SearchRecord, point: MeasuredNetwork) -> str:
    lines = [
        ",".join(map(str, search.archs[point.index])),
        _label(search, point.index),
        f"predicted {milliseconds(point.predicted_ms)}",
        f"refitted {milliseconds(point.refitted_ms)}",
        f"measured {milliseconds(point.measured_ms)}",
        _verdict(point),
    ]
    return "<br>".join(map(label, lines))


def _verdict(point: MeasuredNetwork) -> str:
    if not point.within:
        return "over budget, left the front"
    return "on the front" if point.on_front else "within budget, beaten"


def _table(search: SearchRecord, points: Sequence[MeasuredNetwork]) -> Html:
    rows = [
        [
            _choices(search, p.index),
            _label(search, p.index),
            milliseconds(p.predicted_ms),
            milliseconds(p.refitted_ms),
            milliseconds(p.measured_ms),
            milliseconds(p.measured_p10_ms),
            milliseconds(p.measured_p90_ms),
            compared(p.predicted_ms, p.measured_ms),
            _verdict(p),
        ]
        for p in points
    ]
    head = ["choices", "", "predicted", "refitted", "measured", "p10", "p90", "the prediction was", "so it is"]
    return details(f"All {len(rows)} networks, as a table", table(head, rows, align="llrrrrrrl"))
