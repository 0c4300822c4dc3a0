"""The section on the measured front: what each network was predicted to take, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from hwnas.reporting.content import ClosingContent, MeasuredContent, MeasuredObjectiveContent
from hwnas.reporting.embed import chart
from hwnas.reporting.headline import compared
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, table
from hwnas.reporting.theme import BLUE, GREY, SCARLET, TEAL, TEMPLATE, draw_budget, label, padded_range
from hwnas.reporting.units import milliseconds, percent, words

_ROW_PX, _AROUND_PX = 26, 110


def closing_section(closing: ClosingContent) -> Html:
    """For each latency that was measured a chart and a table of its networks."""
    parts = []
    for number, measured in enumerate(closing.objectives):
        networks = sorted(measured.networks, key=lambda network: network.measured_ms)
        ordered = replace(measured, networks=tuple(networks))
        parts += [lead(_lead(ordered)), _card(ordered, number), _table(ordered)]
    if not parts:
        parts.append(lead("The device was there, but no network of the front was measured."))
    if closing.failed:
        rows = [[code(",".join(map(str, failed.choices))), failed.reason] for failed in closing.failed]
        summary = f"{_networks(len(rows))} left out, as {'it' if len(rows) == 1 else 'they'} couldn't be run"
        parts.append(details(summary, table(["choices", "why"], rows, align="ll")))
    return join([*parts, facts(_known(closing))])


def _lead(measured: MeasuredObjectiveContent) -> str:
    networks = measured.networks
    measured_ms = np.array([n.measured_ms for n in networks])
    before = np.abs(np.array([n.predicted_ms for n in networks]) / measured_ms - 1).mean()
    text = f"{_networks(len(networks))} measured. The mean absolute error of the prediction was {percent(before)}"
    refitted_ms = np.array([n.refitted_ms for n in networks if n.refitted_ms is not None])
    if measured.error_after is not None:
        text += (
            f"; of the table refitted with them it is {percent(measured.error_after)} for networks left out of the fit"
        )
    elif len(refitted_ms) == len(networks):
        after = np.abs(refitted_ms / measured_ms - 1).mean()
        text += f"; of the table refitted on these very networks it is {percent(after)}"
    over = sum(not n.within for n in networks)
    if over:
        text += f". {over} of them {'is' if over == 1 else 'are'} over budget and no longer on the front."
    else:
        text += ". All keep their budget." if measured.budget_ms is not None else "."
    moved_ms, budget_ms = measured.budget_as_searched_ms, measured.budget_ms
    if moved_ms and budget_ms and moved_ms > budget_ms * (1 + (measured.error_after or 0)):  # else it is noise
        text += (
            f" By the refitted table, networks once predicted at up to {milliseconds(moved_ms)} are within the budget: "
            "search again with it to find them."
        )
    return text


def _networks(count: int) -> str:
    return f"{count} network{' was' if count == 1 else 's were'}"


def _known(closing: ClosingContent) -> dict[str, object]:
    known = {"rounds of measuring": str(closing.rounds)}
    if closing.unmeasured:
        known["not measured"] = f"{closing.unmeasured} of the front, which stay as predicted"
    for measured in closing.objectives:
        of_which = f" ({words(measured.name)})" if len(closing.objectives) > 1 else ""
        known[f"device{of_which}"] = measured.device
        if measured.drift is not None:
            drift = f"{measured.drift:.3f} × as slow as when the table was made; the measurements are divided by it"
            known[f"the machine meanwhile{of_which}"] = drift
        if measured.table:
            known[f"refitted table{of_which}"] = measured.table
    return dict(known)


def _card(measured: MeasuredObjectiveContent, number: int) -> Html:
    note = (
        "A row is a network, from what was predicted when it was searched to what was measured; the whiskers go from "
        "the 10th to the 90th percentile of its runs."
    )
    if not all(n.within for n in measured.networks):
        note += " A cross is a measurement over budget."
    name = words(measured.name)
    drawn = chart(
        closing_figure(measured),
        f"chart-closing-{number}",
        height_px=_AROUND_PX + _ROW_PX * max(4, len(measured.networks)),
        description=f"{name.capitalize()} predicted and measured. {_lead(measured)}",
    )
    return card(f"Predicted and measured {name}", note, drawn)


def closing_figure(measured: MeasuredObjectiveContent) -> go.Figure:
    """A row per network, the first on top: predicted, refitted and measured latency, and the budget."""
    networks, budget_ms = measured.networks, measured.budget_ms
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_scatter(
        x=[ms for n in networks for ms in (n.predicted_ms, n.measured_ms, None)],
        y=[row for row in range(len(networks)) for _ in range(3)],
        mode="lines",
        line={"color": GREY, "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )

    def dots(what: str, at_ms: Mapping[int, float | None], marker: dict[str, object], **more: object) -> None:
        figure.add_scatter(
            x=list(at_ms.values()),
            y=list(at_ms),
            text=[_hover_text(networks[row]) for row in at_ms],
            name=what,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<extra></extra>",
            **more,
        )

    predicted_ms = {row: n.predicted_ms for row, n in enumerate(networks)}
    refitted_ms = {row: n.refitted_ms for row, n in enumerate(networks) if n.refitted_ms is not None}
    dots("predicted when searched", predicted_ms, _open("circle-open", GREY))
    if refitted_ms:
        dots("predicted after refitting", refitted_ms, _open("diamond-open", TEAL))
    kept = {row: n for row, n in enumerate(networks) if n.within}
    over = {row: n for row, n in enumerate(networks) if not n.within}
    for what, shown, symbol, color in (
        ("measured", kept, "circle", BLUE),
        ("measured, over budget", over, "x", SCARLET),
    ):
        if shown:
            measured_ms = {row: n.measured_ms for row, n in shown.items()}
            marker = {"symbol": symbol, "size": 10, "color": color}
            dots(what, measured_ms, marker, error_x=_whiskers(list(shown.values()), color))
    all_ms = [ms for n in networks for ms in (n.predicted_ms, n.refitted_ms, n.measured_p10_ms, n.measured_p90_ms)]
    x_range = padded_range([ms for ms in (*all_ms, *(n.measured_ms for n in networks), budget_ms) if ms is not None])
    if budget_ms is not None:
        draw_budget(figure, budget_ms, x_range, milliseconds(budget_ms))
    figure.update_xaxes(title=f"{label(words(measured.name))} (ms)", range=x_range)
    ticks = {"tickvals": list(range(len(networks))), "ticktext": [label(n.label) for n in networks]}
    figure.update_yaxes(**ticks, range=[len(networks) - 0.4, -1.1], showgrid=False)  # the budget's label is on top
    return figure


def _open(symbol: str, color: str) -> dict[str, object]:
    return {"symbol": symbol, "size": 10, "color": color, "line": {"width": 2}}


def _whiskers(networks: Sequence[MeasuredContent], color: str) -> dict[str, object]:
    """From the 10th to the 90th percentile of each, where they are known."""
    known = [n.measured_p10_ms is not None and n.measured_p90_ms is not None for n in networks]
    low_ms = [n.measured_ms - (n.measured_p10_ms or 0) if k else 0.0 for n, k in zip(networks, known, strict=True)]
    high_ms = [(n.measured_p90_ms or 0) - n.measured_ms if k else 0.0 for n, k in zip(networks, known, strict=True)]
    ends = {"type": "data", "symmetric": False, "arrayminus": low_ms, "array": high_ms}
    return {**ends, "color": color, "thickness": 1.2, "width": 3}


def _hover_text(point: MeasuredContent) -> str:
    lines = [
        ",".join(map(str, point.choices)),
        point.label,
        f"predicted {milliseconds(point.predicted_ms)}",
        *([] if point.refitted_ms is None else [f"refitted {milliseconds(point.refitted_ms)}"]),
        f"measured {milliseconds(point.measured_ms)}",
        _verdict(point),
    ]
    return "<br>".join(map(label, lines))


def _verdict(point: MeasuredContent) -> str:
    if not point.within:
        return "over budget, left the front"
    return "on the front" if point.on_front else "within budget, beaten"


def _table(measured: MeasuredObjectiveContent) -> Html:
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
        for p in measured.networks
    ]
    head = ["choices", "", "predicted", "refitted", "measured", "p10", "p90", "the prediction was", "so it is"]
    return details(f"All {len(rows)} networks, as a table", table(head, rows, align="llrrrrrrl"))
