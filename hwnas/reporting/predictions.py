"""Figures of whole networks, predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.prediction.calibrate import Networks, fit
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.lowered import madds
from hwnas.prediction.validate import Validation
from hwnas.reporting.theme import BLUE, GREY, HAIRLINE, TEMPLATE, padded_range
from hwnas.reporting.units import large, milliseconds
from hwnas.space.chain import ChainSpace

_TOLERANCES = {0.10: "rgba(148,163,184,0.16)", 0.05: "rgba(148,163,184,0.26)"}
"""Relative error -> colour of its band; the wider one first, so that the narrower lies on it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """N networks as one predictor sees them, and as they were measured.

    Attributes:
        predicted_ms: (N,).
        first_ms, again_ms: both measurements of each, (N,).
        interval_ms: low and high ends of the 90 % prediction interval, (N,) each; None where there is none.
        texts: what to say of each network when it is pointed at.
    """

    predicted_ms: Values
    first_ms: Values
    again_ms: Values
    interval_ms: tuple[Values, Values] | None
    texts: tuple[str, ...]

    @property
    def measured_ms(self) -> Values:
        """The mean of both measurements, (N,)."""
        return (self.first_ms + self.again_ms) / 2


def by_table(found: Validation, predictor: LatencyPredictor) -> Predictions:
    """What the validated table predicts."""
    interval_ms = predictor.interval([network.choices for network in found.networks])
    predicted_ms = np.array([network.predicted_ms for network in found.networks])
    return _predictions(found, predicted_ms, interval_ms, ["" for _ in found.networks])


def by_madds(found: Validation, space: ChainSpace) -> Predictions:
    """What multiply-adds alone predict, once calibrated to fit these very networks best: the baseline."""
    counted = madds(space)([network.choices for network in found.networks])
    measured_ms = np.array([(n.measured_ms + n.measured_again_ms) / 2 for n in found.networks])
    line = fit(Networks(counted, {}, measured_ms))
    predicted_ms = line.scale * counted + line.fixed_ms
    return _predictions(found, predicted_ms, None, [f"{large(count)} multiply-adds<br>" for count in counted])


def _predictions(
    found: Validation, predicted_ms: Values, interval_ms: tuple[Values, Values] | None, notes: Sequence[str]
) -> Predictions:
    first_ms = np.array([network.measured_ms for network in found.networks])
    again_ms = np.array([network.measured_again_ms for network in found.networks])
    texts = tuple(
        f"{','.join(map(str, network.choices))}<br>{note}predicted {milliseconds(p)}<br>"
        f"measured {milliseconds(a)} and {milliseconds(b)}"
        for network, note, p, a, b in zip(found.networks, notes, predicted_ms, first_ms, again_ms, strict=True)
    )
    return Predictions(
        predicted_ms=predicted_ms, first_ms=first_ms, again_ms=again_ms, interval_ms=interval_ms, texts=texts
    )


def common_range(*several: Predictions) -> list[float]:
    """Ends in ms of an axis that holds all predictions and measurements of these."""
    parts = [part for a in several for part in (a.predicted_ms, a.first_ms, a.again_ms)]
    return padded_range(np.concatenate(parts))


def predictions_figure(predictions: Predictions, ends_ms: Sequence[float]) -> go.Figure:
    """One :class:`Predictions`, alone, with axes that both go from end to end."""
    figure = go.Figure(layout={"template": TEMPLATE})
    draw_predictions(figure, predictions, ends_ms)
    figure.update_layout(showlegend=False)  # the page says once what all its scatters show
    figure.update_xaxes(title="predicted latency (ms)")
    figure.update_yaxes(title="measured latency (ms)")
    return figure


def draw_predictions(
    figure: go.Figure,
    predictions: Predictions,
    ends_ms: Sequence[float],
    row: int | None = None,
    col: int | None = None,
) -> None:
    """Networks as dots with both measurements as the bar's ends, over what is within ±5 %, ±10 % and the interval.

    Args:
        figure: to draw on.
        predictions: what to draw.
        ends_ms: of both axes.
        row: of the subplot, counted from 1; None where the figure has but one.
        col: of the subplot, likewise.
    """
    x, measured_ms = predictions.predicted_ms, predictions.measured_ms
    ends = np.asarray(ends_ms)
    for tolerance, color in _TOLERANCES.items():
        figure.add_scatter(
            x=[*ends, *ends[::-1]],
            y=[*ends / (1 + tolerance), *ends[::-1] / (1 - tolerance)],  # the error is relative to the measurement
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=color,
            name=f"±{tolerance:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
            hoverinfo="skip",
            row=row,
            col=col,
        )
    if predictions.interval_ms:
        order = np.argsort(x)
        at = np.unique([*x, *ends])
        low, high = (at * np.interp(at, x[order], (end / x)[order]) for end in predictions.interval_ms)
        figure.add_scatter(
            x=[*at, None, *at],
            y=[*low, None, *high],
            mode="lines",
            line={"color": BLUE, "width": 1.5, "dash": "dot"},
            name="90\N{NO-BREAK SPACE}% interval",
            hoverinfo="skip",
            row=row,
            col=col,
        )
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name="predicted = measured",
        hoverinfo="skip",
        row=row,
        col=col,
    )
    half_ms = np.abs(predictions.first_ms - predictions.again_ms) / 2
    figure.add_scatter(
        x=x,
        y=measured_ms,
        error_y={"type": "data", "array": half_ms, "color": BLUE, "thickness": 1.2, "width": 2},
        text=predictions.texts,
        mode="markers",
        name="networks",
        marker={"size": 8, "color": BLUE, "opacity": 0.85, "line": HAIRLINE},
        hovertemplate="%{text}<extra></extra>",
        row=row,
        col=col,
    )
    figure.update_xaxes(range=list(ends), row=row, col=col)
    figure.update_yaxes(range=list(ends), row=row, col=col)
