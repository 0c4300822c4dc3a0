"""The section on the measured front: what each network was predicted to take, and what it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hwnas.report.content import ClosingContent, ClosingPointContent
from hwnas.report.embed import chart
from hwnas.report.headline import compared
from hwnas.report.markup import Html, card, code, details, facts, join, lead, table
from hwnas.report.theme import BLUE, GREY, SCARLET, TEAL, TEMPLATE, draw_budget, label, padded_range
from hwnas.report.units import milliseconds, percent, words

_ROW_PX, _AROUND_PX = 26, 110


def closing_section(closing: ClosingContent) -> Html:
    """For each objective that was measured a chart and a table of its networks."""
    parts = []
    for number, (name, points) in enumerate(closing.points.items()):
        ordered = sorted(points, key=lambda p: p.measured_ms)
        parts += [lead(_lead(ordered)), _chart(name, ordered, number), _table(ordered)]
    if not parts:
        parts.append(lead("The device was there, but no network of the front was measured."))
    known = {"device": closing.device, "rounds of measuring": str(closing.rounds)}
    if closing.drift is not None:
        drift = f"{closing.drift:.3f} × as slow as when the table was made; the measurements here are divided by it"
        known["the machine meanwhile"] = drift
    if closing.table:
        known["refitted table"] = closing.table
    return join([*parts, facts(known)])


def _lead(points: Sequence[ClosingPointContent]) -> str:
    measured_ms = np.array([p.measured_ms for p in points])
    before = np.abs(np.array([p.predicted_ms for p in points]) / measured_ms - 1).mean()
    text = f"{_networks(len(points))} measured. The mean absolute error of the prediction was {percent(before)}"
    refitted = [p for p in points if p.refitted_ms is not None]
    if refitted:
        errors = [abs((p.refitted_ms or 0) / p.measured_ms - 1) for p in refitted]
        text += f"; after the table was refitted on them it is {percent(float(np.mean(errors)))}"
    over = sum(not p.within for p in points)
    if over:
        left = "is" if over == 1 else "are"
        return f"{text}. {over} of them {left} over budget and no longer on the front."
    return f"{text}. All keep their budget." if any(p.budget_ms is not None for p in points) else f"{text}."


def _networks(count: int) -> str:
    return f"{count} network{' was' if count == 1 else 's were'}"


def _chart(name: str, points: Sequence[ClosingPointContent], number: int) -> Html:
    note = (
        "A row is a network, from what was predicted when it was searched to what was measured; the whiskers go from "
        "the 10th to the 90th percentile of its runs."
    )
    if any(not p.within for p in points):
        note += " A cross is a measurement over budget."
    text = f"{words(name).capitalize()} of {len(points)} networks, predicted and measured. {_lead(points)}"
    drawn = chart(
        closing_figure(name, points),
        f"chart-closing-{number}",
        height_px=_AROUND_PX + _ROW_PX * max(4, len(points)),
        description=text,
    )
    return card(f"Predicted and measured {words(name)}", note, drawn)


def closing_figure(name: str, points: Sequence[ClosingPointContent]) -> go.Figure:
    """A row per network, the first on top: predicted, refitted and measured latency, and the budget."""
    figure = go.Figure(layout={"template": TEMPLATE})
    rows = list(range(len(points)))
    figure.add_scatter(
        x=[ms for p in points for ms in (p.predicted_ms, p.measured_ms, None)],
        y=[row for row in rows for _ in range(3)],
        mode="lines",
        line={"color": GREY, "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )
    texts = [_hover_text(p) for p in points]

    def dots(what: str, at_ms: Sequence[float | None], marker: dict[str, object], **more: object) -> None:
        figure.add_scatter(
            x=at_ms,
            y=rows,
            text=texts,
            name=what,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<extra></extra>",
            **more,
        )

    open_circle = {"symbol": "circle-open", "size": 10, "color": GREY, "line": {"width": 2}}
    dots("predicted when searched", [p.predicted_ms for p in points], open_circle)
    if any(p.refitted_ms is not None for p in points):
        diamond = {"symbol": "diamond-open", "size": 9, "color": TEAL, "line": {"width": 2}}
        dots("predicted after refitting", [p.refitted_ms for p in points], diamond)
    for within, what, symbol, color in (
        (True, "measured", "circle", BLUE),
        (False, "measured, over budget", "x", SCARLET),
    ):
        if any(p.within == within for p in points):
            shown = [p if p.within == within else None for p in points]
            ends = [(0.0, 0.0) if p is None else _whiskers(p) for p in shown]
            whiskers = {
                "type": "data", "symmetric": False, "color": color, "thickness": 1.2, "width": 3,
                "arrayminus": [low for low, _ in ends], "array": [high for _, high in ends],
            }  # fmt: skip
            at_ms = [None if p is None else p.measured_ms for p in shown]
            dots(what, at_ms, {"symbol": symbol, "size": 10, "color": color}, error_x=whiskers)
    budget_ms = next((p.budget_ms for p in points if p.budget_ms is not None), None)
    all_ms = [ms for p in points for ms in (p.predicted_ms, p.refitted_ms, p.measured_p10_ms, p.measured_p90_ms)]
    x_range = padded_range([ms for ms in (*all_ms, *(p.measured_ms for p in points), budget_ms) if ms is not None])
    if budget_ms is not None:
        draw_budget(figure, budget_ms, x_range, milliseconds(budget_ms))
    figure.update_xaxes(title=f"{label(words(name))} (ms)", range=x_range)
    ticks = [label(p.label) for p in points]
    figure.update_yaxes(tickvals=rows, ticktext=ticks, range=[len(points) - 0.4, -1.1], showgrid=False)
    return figure


def _whiskers(point: ClosingPointContent) -> tuple[float, float]:
    """How far the 10th and the 90th percentile are from the median, in ms."""
    low_ms, high_ms = point.measured_p10_ms, point.measured_p90_ms
    if low_ms is None or high_ms is None:
        return 0.0, 0.0
    return point.measured_ms - low_ms, high_ms - point.measured_ms


def _hover_text(point: ClosingPointContent) -> str:
    lines = [
        ",".join(map(str, point.choices)),
        point.label,
        f"predicted {milliseconds(point.predicted_ms)}",
        *([] if point.refitted_ms is None else [f"refitted {milliseconds(point.refitted_ms)}"]),
        f"measured {milliseconds(point.measured_ms)}",
        _verdict(point),
    ]
    return "<br>".join(map(label, lines))


def _verdict(point: ClosingPointContent) -> str:
    if not point.within:
        return "over budget, replaced"
    return "on the front" if point.on_front else "within budget, beaten"


def _table(points: Sequence[ClosingPointContent]) -> Html:
    rows = [
        [
            code(",".join(map(str, p.choices))),
            p.label,
            milliseconds(p.predicted_ms),
            "–" if p.refitted_ms is None else milliseconds(p.refitted_ms),
            milliseconds(p.measured_ms),
            "–" if p.measured_p10_ms is None else milliseconds(p.measured_p10_ms),
            "–" if p.measured_p90_ms is None else milliseconds(p.measured_p90_ms),
            compared(p.predicted_ms, p.measured_ms),
            _verdict(p),
        ]
        for p in points
    ]
    head = ["choices", "", "predicted", "refitted", "measured", "p10", "p90", "the prediction was", "so it is"]
    return details(f"All {len(rows)} networks, as a table", table(head, rows, align="llrrrrrrl"))
