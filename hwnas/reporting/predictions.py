"""Figures of whole networks, predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.prediction.calibrate import Networks, fit
from hwnas.prediction.costs import madds
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.validate import ValidatedNetwork, Validation
from hwnas.reporting import charts
from hwnas.reporting.units import by_commas, large, milliseconds, percent
from hwnas.space.chain import ChainSpace

_TOLERANCES = {0.10: "rgba(148,163,184,0.16)", 0.05: "rgba(148,163,184,0.26)"}
"""Relative error -> colour of its band; the wider one first, so that the narrower lies on it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """N networks as one predictor sees them, and as they were measured.

    Attributes:
        networks: each of them.
        predicted_ms: by this predictor, (N,).
        interval_ms: low and high ends of the 90 % prediction interval, (N,) each; None where there is none.
        counted: multiply-adds that this was predicted from, (N,); None where it was from more.
    """

    networks: tuple[ValidatedNetwork, ...]
    predicted_ms: Values
    interval_ms: tuple[Values, Values] | None = None
    counted: Values | None = None


def by_table(found: Validation, predictor: LatencyPredictor) -> Predictions:
    """What the validated table predicts."""
    return Predictions(
        networks=found.networks,
        predicted_ms=np.array([network.predicted_ms for network in found.networks]),
        interval_ms=predictor.interval([network.choices for network in found.networks]),
    )


def by_madds(found: Validation, space: ChainSpace) -> Predictions:
    """What multiply-adds alone predict, once calibrated to fit these very networks best: the baseline."""
    counted = madds(space)([network.choices for network in found.networks])
    line = fit(Networks(counted, {}, _measured_ms(found.networks).mean(axis=0)))
    return Predictions(networks=found.networks, predicted_ms=line.scale * counted + line.fixed_ms, counted=counted)


def common_range(*several: Predictions) -> list[float]:
    """Ends in ms of an axis that holds all predictions and measurements of these."""
    return charts.padded_range(np.concatenate([(a.predicted_ms, *_measured_ms(a.networks)) for a in several]).flat)


def predictions_figure(predictions: Predictions, ends_ms: Sequence[float]) -> go.Figure:
    """One :class:`Predictions`, alone, with axes that both go from end to end."""
    figure = charts.blank({"title": "predicted latency (ms)"}, {"title": "measured latency (ms)"})
    draw_predictions(figure, predictions, ends_ms)
    return figure.update_layout(showlegend=False)  # the page says once what all its scatters show


def draw_predictions(figure: go.Figure, predictions: Predictions, ends_ms: Sequence[float], **at: int) -> None:
    """Networks as dots with both measurements as the bar's ends, over what is within ±5 %, ±10 % and the interval.

    Args:
        figure: to draw on.
        predictions: what to draw.
        ends_ms: of both axes.
        at: ``row`` and ``col`` of the subplot, counted from 1; nothing where the figure has but one.
    """
    x, measured_ms = predictions.predicted_ms, _measured_ms(predictions.networks)
    for tolerance, color in _TOLERANCES.items():
        low, high = 1 / (1 + tolerance), 1 / (1 - tolerance)  # the error is relative to the measurement
        charts.band(figure, ends_ms, low, high, color, f"±{percent(tolerance, 0)}", **at)
    if predictions.interval_ms:
        order = np.argsort(x)
        among = np.unique([*x, *ends_ms])
        low, high = (among * np.interp(among, x[order], (end / x)[order]) for end in predictions.interval_ms)
        both, look = ([*among, None, *among], [*low, None, *high]), {"color": charts.BLUE, "width": 1.5, "dash": "dot"}
        charts.line(figure, *both, look, "90\N{NO-BREAK SPACE}% interval", **at)
    charts.agreement(figure, ends_ms, **at)
    half_ms = np.abs(measured_ms[0] - measured_ms[1]) / 2
    bars = {"type": "data", "array": half_ms, "color": charts.BLUE, "thickness": 1.2, "width": 2}
    texts, middle_ms = _hover_texts(predictions), measured_ms.mean(axis=0)
    charts.dots(figure, x, middle_ms, texts, charts.DOT, "networks", error_y=bars, **at)


def _measured_ms(networks: Sequence[ValidatedNetwork]) -> Values:
    """Both measurements of each, (2, N)."""
    return np.array([(network.measured_ms, network.measured_again_ms) for network in networks]).T


def _hover_texts(predictions: Predictions) -> list[str]:
    texts = []
    for index, network in enumerate(predictions.networks):
        both = f"{milliseconds(network.measured_ms)} and {milliseconds(network.measured_again_ms)}"
        note = [] if predictions.counted is None else [f"{large(predictions.counted[index])} multiply-adds"]
        predicted = f"predicted {milliseconds(predictions.predicted_ms[index])}"
        texts.append(charts.hover_text(by_commas(network.choices), *note, predicted, f"measured {both}"))
    return texts
