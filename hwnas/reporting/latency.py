"""The section on latency: the winner and whole networks, predicted against measured."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hwnas.reporting.markup import Html, card, details, facts, join, lead, table
from hwnas.reporting.page import chart
from hwnas.reporting.theme import BLUE, GREY, HAIRLINE, TEMPLATE, WINNER, label, padded_range
from hwnas.reporting.units import compared, milliseconds, percent
from hwnas.reporting.views import Latency


def latency_section(latency: Latency) -> Html:
    """Predicted against measured, and on what device."""
    parts = [lead(_latency_lead(latency))]
    known: dict[str, object] = {"predicted": milliseconds(latency.predicted_ms)}
    if latency.low_ms is not None and latency.high_ms is not None:
        known["90 % interval"] = f"{milliseconds(latency.low_ms)} to {milliseconds(latency.high_ms)}"
    if latency.measured_ms is not None:
        known["measured (median)"] = milliseconds(latency.measured_ms)
    if latency.measured_p10_ms is not None and latency.measured_p90_ms is not None:
        known["10th to 90th percentile"] = (
            f"{milliseconds(latency.measured_p10_ms)} to {milliseconds(latency.measured_p90_ms)}"
        )
    aside = Html(f'<div class="aside">{facts(known)}{facts({"device": latency.device, **latency.fields})}</div>')
    if not latency.networks and latency.measured_ms is None:
        return join([*parts, aside])
    drawn = card(
        "Predicted against measured",
        "On the dashed line the prediction is exact; above it the network was slower than predicted.",
        chart(latency_figure(latency), "chart-latency", height_px=430, description=_latency_lead(latency)),
    )
    parts.append(Html(f'<div class="pair wide">{drawn}{aside}</div>'))
    if latency.networks:
        pairs = [(n.label, n.predicted_ms, n.measured_ms) for n in latency.networks]
        rows = [[name, milliseconds(p), milliseconds(m), compared(p, m)] for name, p, m in pairs]
        head = ["network", "predicted", "measured", "the prediction is"]
        parts.append(details(f"All {len(rows)} networks, as a table", table(head, rows, align="lrrr")))
    return join(parts)


def _latency_lead(latency: Latency) -> str:
    text = f"The winner was predicted to take {milliseconds(latency.predicted_ms)}"
    if latency.measured_ms is None:
        text += "; it wasn't measured."
    else:
        difference = compared(latency.predicted_ms, latency.measured_ms)
        text += f" and takes {milliseconds(latency.measured_ms)}: the prediction is {difference}."
    if latency.networks:
        errors = np.array([n.predicted_ms / n.measured_ms - 1 for n in latency.networks])
        mean = float(np.abs(errors).mean())
        text += f" On {len(errors)} whole networks that the predictor was fitted on, its mean absolute error is "
        text += f"{percent(mean)}."
    return text


def latency_figure(latency: Latency) -> go.Figure:
    """Predicted against measured, with the line where both agree and the 90 % band around it."""
    predicted = [n.predicted_ms for n in latency.networks]
    measured = [n.measured_ms for n in latency.networks]
    figure = go.Figure(layout={"template": TEMPLATE})
    winner_ms = [] if latency.measured_ms is None else [latency.measured_ms]
    low, high = padded_range([*predicted, *measured, latency.predicted_ms, *winner_ms])
    ends = [low, high]
    if latency.high_ms is not None and latency.low_ms is not None:
        above, below = latency.high_ms / latency.predicted_ms, latency.low_ms / latency.predicted_ms
        figure.add_scatter(
            x=[*ends, *reversed(ends)],
            y=[low * above, high * above, high * below, low * below],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor="rgba(59,130,246,0.12)",
            name="90 % interval",
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name="predicted = measured",
        hoverinfo="skip",
    )
    template = "%{text}<br>predicted %{x:.3f} ms<br>measured %{y:.3f} ms<extra></extra>"
    if latency.networks:
        labels = [label(network.label) for network in latency.networks]
        figure.add_scatter(
            x=predicted,
            y=measured,
            text=labels,
            mode="markers",
            name="whole networks",
            hovertemplate=template,
            marker={"size": 9, "color": BLUE, "opacity": 0.85, "line": HAIRLINE},
        )
    if winner_ms:
        figure.add_scatter(
            x=[latency.predicted_ms],
            y=winner_ms,
            text=["winner"],
            mode="markers",
            name="winner",
            marker=WINNER,
            hovertemplate=template,
        )
    figure.update_xaxes(title="predicted latency (ms)", range=ends)
    figure.update_yaxes(title="measured latency (ms)", range=ends)
    return figure
