"""How often each choice is taken at each layer by the networks of the front."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.records.search import SearchRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, details
from hwnas.reporting.units import number

_ROW_PX, _AROUND_PX = 26, 90


def choices_card(search: SearchRecord) -> Html:
    """The heat map, and the same as a table."""
    note = "The number in a cell says how many per cent of the front's networks take this choice."
    if search.winner_index is not None:
        note += " The winner's choices are outlined in red."
    height_px = _AROUND_PX + _ROW_PX * max(6, len(_labels(search)))  # rows can be told apart
    return charts.card(
        "What the front has in common", note, choices_figure(search), "chart-choices", choices_table(search),
        height_px=height_px, description=choices_description(search),
    )  # fmt: skip


def choices_figure(search: SearchRecord) -> go.Figure:
    """The shares as a heat map with numbers in it, layers to the right; the winner's choices are outlined."""
    share, labels = 100 * _shares(search), _labels(search)
    layers = search.get_space().num_layers
    x = {"title": "layer", "dtick": 1 if layers < 12 else 2, "ticks": "", "showline": False}
    figure = charts.blank(x, charts.rows_axis(labels))
    figure.add_heatmap(
        z=share,
        zmin=0,
        zmax=100,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        # Never so strong that the number in the cell, in the page's own colour of text, couldn't be read.
        colorscale=[[0, "rgba(59,130,246,0.05)"], [1, "rgba(59,130,246,0.75)"]],
        showscale=False,
        text=[["" if not value > 0 else f"{value:.0f}" for value in row] for row in share],
        texttemplate="%{text}",
        customdata=[[charts.label(name)] * layers for name in labels],
        hovertemplate="layer %{x}, %{customdata}: %{z:.0f} % of the front<extra></extra>",
    )
    if search.winner_index is not None:
        for layer, choice in enumerate(search.archs[search.winner_index]):
            (x0, x1), (y0, y1) = (layer - 0.47, layer + 0.47), (choice - 0.46, choice + 0.46)
            figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line={"color": charts.SCARLET, "width": 2})
    return figure


def choices_description(search: SearchRecord) -> str:
    """The heat map in words: the commonest choice of each layer."""
    names, common = _labels(search), _shares(search)
    best = np.nanargmax(common, axis=0)
    each = [f"{layer}: {names[choice]} {common[choice, layer]:.0%}" for layer, choice in enumerate(best)]
    return f"The commonest choice of each layer among the networks of the front: {'; '.join(each)}"


def choices_table(search: SearchRecord) -> Html:
    """The shares in percent, to unfold; a dash where a layer doesn't have the choice."""
    rows = [
        [name, *("–" if np.isnan(part) else number(round(100 * part)) for part in row)]
        for name, row in zip(_labels(search), _shares(search), strict=True)
    ]
    head = ["% of the front, at layer", *map(str, range(search.get_space().num_layers))]
    return details("The same as a table", head, rows)


def _shares(search: SearchRecord) -> Values:
    """(C, L) the share of the front's networks that take a choice; NaN where a layer doesn't have it."""
    space, archs = search.get_space(), search.archs[list(search.front)]
    share = np.full((int(space.num_choices.max()), space.num_layers), np.nan)
    for layer, count in enumerate(space.num_choices):
        share[:count, layer] = np.bincount(archs[:, layer], minlength=count) / len(archs)
    return share


def _labels(search: SearchRecord) -> list[str]:
    """What the choice of each index is called, over all layers."""
    by_index = zip_longest(*(decision.labels for decision in search.get_space().decisions))
    return [" or ".join(dict.fromkeys(filter(None, names))) for names in by_index]
