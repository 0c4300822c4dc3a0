"""How a search got better with each evaluation, beside random archs within the same budgets."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.reporting.headline import compared
from hwnas.reporting.theme import BLUE, GREY, TEMPLATE
from hwnas.reporting.units import percent


def hypervolume_figure(history: Values, baseline: Values | None) -> go.Figure:
    """Hypervolume of the front after each evaluation, and random search's where it is known."""
    figure = go.Figure(layout={"template": TEMPLATE})
    compared = baseline is not None and len(baseline) > 0
    if baseline is not None and compared:
        _line(figure, baseline, "random search", {"color": GREY, "width": 2, "dash": "dash"})
    _line(figure, history, "this search", {"color": BLUE, "width": 2.5})
    figure.update_traces(showlegend=compared)
    figure.update_xaxes(title="evaluations", rangemode="tozero")
    figure.update_yaxes(title="hypervolume", rangemode="tozero")
    return figure


def gained(history: Values, baseline: Values) -> str:
    """What the search gained over random search, as a sentence; both histories are not empty."""
    random_end, end = float(baseline[-1]), float(history[-1])
    if random_end <= 0:
        return f"Random search found nothing within the budgets in {_evaluations(len(baseline))}."
    there = np.flatnonzero(history >= random_end)
    if not len(there):
        return (
            f"After {_evaluations(len(history))} it has {percent(end / random_end)} of the hypervolume that random "
            f"search has after {len(baseline):,}."
        )
    reached = (
        f"It reaches random search's final hypervolume after {int(there[0]) + 1:,} of {_evaluations(len(history))}"
    )
    return f"{reached} and ends with {compared(end, random_end)}."


def _line(figure: go.Figure, history: Values, name: str, line: dict[str, object]) -> None:
    figure.add_scatter(
        x=np.arange(1, len(history) + 1),
        y=history,
        name=name,
        mode="lines",
        line={**line, "shape": "hv"},
        hovertemplate=f"{name} after %{{x}} evaluations: %{{y:.4g}}<extra></extra>",
    )


def _evaluations(count: int) -> str:
    return f"{count:,} evaluation{'' if count == 1 else 's'}"
