"""The section on latency: the winner and whole networks, predicted against measured."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hwnas.errors import counted
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, details, facts, join, lead
from hwnas.reporting.units import compared, milliseconds, percent, span
from hwnas.reporting.views import Latency


def latency_section(latency: Latency) -> Html:
    """Predicted against measured, and on what device."""
    text = _lead(latency)
    known = {
        "predicted": milliseconds(latency.predicted_ms),
        "90 % interval": span(latency.low_ms, latency.high_ms),
        "measured (median)": latency.measured_ms is not None and milliseconds(latency.measured_ms),
        "10th to 90th percentile": span(latency.measured_p10_ms, latency.measured_p90_ms),
    }
    known_here = facts({name: value for name, value in known.items() if value})
    aside = Html(f'<div class="aside">{known_here}{facts({"device": latency.device, **latency.fields})}</div>')
    if not latency.networks and latency.measured_ms is None:
        return join(lead(text), aside)
    note = "On the dashed line the prediction is exact; above it the network was slower than predicted."
    figure = latency_figure(latency)
    drawn = charts.card("Predicted against measured", note, figure, "chart-latency", height_px=430, description=text)
    parts = [lead(text), Html(f'<div class="pair wide">{drawn}{aside}</div>')]
    if latency.networks:
        pairs = [(n.label, n.predicted_ms, n.measured_ms) for n in latency.networks]
        rows = [[name, milliseconds(p), milliseconds(m), compared(p, m)] for name, p, m in pairs]
        head = ["network", "predicted", "measured", "the prediction is"]
        parts.append(details(f"All {counted(len(rows), 'network')}, as a table", head, rows))
    return join(*parts)


def _lead(latency: Latency) -> str:
    text = f"The winner was predicted to take {milliseconds(latency.predicted_ms)}"
    if latency.measured_ms is None:
        text += "; it wasn't measured."
    else:
        difference = compared(latency.predicted_ms, latency.measured_ms)
        text += f" and takes {milliseconds(latency.measured_ms)}: the prediction is {difference}."
    if latency.networks:
        error = float(np.mean([abs(n.predicted_ms / n.measured_ms - 1) for n in latency.networks]))
        text += f" On {len(latency.networks)} whole networks that the predictor was fitted on, its mean absolute error "
        text += f"is {percent(error)}."
    return text


def latency_figure(latency: Latency) -> go.Figure:
    """Predicted against measured, with the line where both agree and the 90 % band around it."""
    predicted = [n.predicted_ms for n in latency.networks]
    measured = [n.measured_ms for n in latency.networks]
    ends = charts.padded_range([*predicted, *measured], latency.predicted_ms, latency.measured_ms)
    figure = charts.blank({"title": "predicted latency (ms)"}, {"title": "measured latency (ms)"})
    if latency.high_ms is not None and latency.low_ms is not None:
        above, below = latency.high_ms / latency.predicted_ms, latency.low_ms / latency.predicted_ms
        charts.band(figure, ends, above, below, "rgba(59,130,246,0.12)", "90 % interval")
    charts.agreement(figure, ends)
    hover = "%{text}<br>predicted %{x:.3f} ms<br>measured %{y:.3f} ms<extra></extra>"
    if latency.networks:
        labels = [charts.label(network.label) for network in latency.networks]
        charts.dots(
            figure, predicted, measured, labels, charts.DOT | {"size": 9}, "whole networks", hovertemplate=hover
        )
    if latency.measured_ms is not None:
        winner = [latency.predicted_ms], [latency.measured_ms], ["winner"]
        charts.dots(figure, *winner, charts.WINNER, "winner", hovertemplate=hover)
    return figure
