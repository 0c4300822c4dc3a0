"""The charts of predicted against measured latency, and of a training."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hwnas.reporting.content import LatencyContent, TrainingContent
from hwnas.reporting.theme import (
    AMBER,
    BLUE,
    GREY,
    HAIRLINE,
    SCARLET,
    TEAL,
    TEMPLATE,
    VIOLET,
    WINNER,
    label,
    padded_range,
)
from hwnas.reporting.units import words


def latency_figure(latency: LatencyContent) -> go.Figure:
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


def training_figure(training: TrainingContent) -> go.Figure | None:
    """Losses above, accuracies below, over the epochs; None when neither was logged."""
    names = list(dict.fromkeys(name for row in training.rows for name in row))
    panels = [group for word in ("loss", "accuracy") if (group := [name for name in names if word in name])]
    if not panels:
        return None
    figure = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.07)
    figure.update_layout(template=TEMPLATE)
    for row, group in enumerate(panels, start=1):
        accuracy = "accuracy" in group[0]
        colors = iter((BLUE, TEAL, VIOLET, AMBER) if accuracy else (SCARLET, AMBER, VIOLET, TEAL))
        for name in group:
            logged = [entry for entry in training.rows if name in entry]
            y = np.array([entry[name] for entry in logged], dtype=float) * (100 if accuracy else 1)
            value = "%{y:.2f} %" if accuracy else "%{y:.4g}"
            figure.add_scatter(
                x=[entry.get("epoch", index) for index, entry in enumerate(logged, start=1)],
                y=y,
                row=row,
                col=1,
                name=label(words(name)),
                mode="lines+markers" if len(logged) < 40 else "lines",
                line={"color": next(colors, GREY), "width": 2},
                marker={"size": 5},
                hovertemplate=f"epoch %{{x}}: {label(words(name))} {value}<extra></extra>",
            )
        figure.update_yaxes(title="accuracy (%)" if accuracy else "loss", row=row)
    figure.update_xaxes(title="epoch", row=len(panels))
    return figure
