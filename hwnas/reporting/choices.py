"""How often each choice is taken at each layer by the networks of the front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values
from hwnas.graph.graph import Op
from hwnas.records.search import SearchRecord
from hwnas.reporting.markup import Html, table
from hwnas.reporting.theme import SCARLET, TEMPLATE, label
from hwnas.reporting.units import number

_ROW_PX, _AROUND_PX = 26, 90


def choices_height_px(search: SearchRecord) -> int:
    """How high :func:`choices_figure` should be drawn, in px, for its rows to be told apart."""
    return _AROUND_PX + _ROW_PX * max(6, int(search.get_space().num_choices.max()))


def choices_figure(search: SearchRecord) -> go.Figure:
    """The shares as a heat map with numbers in it, layers to the right; the winner's choices are outlined."""
    share = 100 * _shares(search)
    labels = [label(name) for name in _labels(search)]
    layers = search.get_space().num_layers
    figure = go.Figure(layout={"template": TEMPLATE})
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
        customdata=[[name] * layers for name in labels],
        hovertemplate="layer %{x}, %{customdata}: %{z:.0f} % of the front<extra></extra>",
    )
    if search.winner_index is not None:
        for layer, choice in enumerate(search.archs[search.winner_index]):
            figure.add_shape(
                type="rect",
                x0=layer - 0.47,
                x1=layer + 0.47,
                y0=choice - 0.46,
                y1=choice + 0.46,
                line={"color": SCARLET, "width": 2},
            )
    figure.update_xaxes(title="layer", dtick=1 if layers < 12 else 2, ticks="", showline=False)
    figure.update_yaxes(tickvals=list(range(len(labels))), ticktext=labels, autorange="reversed", showgrid=False)
    return figure


def choices_description(search: SearchRecord) -> str:
    """The heat map in words: the commonest choice of each layer."""
    names, common = _labels(search), _shares(search)
    best = np.nanargmax(common, axis=0)
    each = [f"{layer}: {names[choice]} {common[choice, layer]:.0%}" for layer, choice in enumerate(best)]
    return f"The commonest choice of each layer among the networks of the front: {'; '.join(each)}"


def choices_table(search: SearchRecord) -> Html:
    """The shares in percent as a table; a dash where a layer doesn't have the choice."""
    rows = [
        [name, *("–" if np.isnan(part) else number(round(100 * part)) for part in row)]
        for name, row in zip(_labels(search), _shares(search), strict=True)
    ]
    head = ["% of the front, at layer", *map(str, range(search.get_space().num_layers))]
    return table(head, rows, align="l" + "r" * search.get_space().num_layers)


def _shares(search: SearchRecord) -> Values:
    """(C, L) the share of the front's networks that take a choice; NaN where a layer doesn't have it."""
    space, archs = search.get_space(), search.archs[list(search.front)]
    share = np.full((int(space.num_choices.max()), space.num_layers), np.nan)
    for layer, count in enumerate(space.num_choices):
        share[:count, layer] = np.bincount(archs[:, layer], minlength=count) / len(archs)
    return share


def _labels(search: SearchRecord) -> list[str]:
    """What the choice of each index is called, over all layers."""
    layers = search.get_space().layers
    return [
        _choice_label([ops[index] for ops in layers if index < len(ops)])
        for index in range(int(search.get_space().num_choices.max()))
    ]


def _choice_label(ops: Sequence[Op]) -> str:
    return " or ".join(dict.fromkeys(op.short for op in ops))
