"""What all charts share: colours, a plotly template, and the few ways to treat labels and ranges.

Colours are those that hold on a light and on a dark page; what must change with the page (text, grid, axes) is
left to ``page.css``. Labels are escaped here because plotly reads a small HTML of its own in texts.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Values

BLUE, SCARLET, AMBER, GREY, TEAL, VIOLET = "#3b82f6", "#e5484d", "#d97706", "#94a3b8", "#0d9488", "#8b5cf6"
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
WINNER = {"symbol": "star", "size": 19, "color": SCARLET, "line": {"width": 1.5, "color": "#ffffff"}}
HAIRLINE = {"width": 1, "color": "rgba(255,255,255,0.75)"}


def _house_template() -> go.layout.Template:
    line = {"showline": True, "ticks": "outside", "ticklen": 4, "zeroline": False, "automargin": True}
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 12.5, "color": "#64748b"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 14, "t": 10, "b": 8},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
            "hoverlabel": {"bgcolor": "#0f172a", "bordercolor": "#0f172a", "align": "left", "namelength": 0},
            "xaxis": line | {"showgrid": False},
            "yaxis": line | {"showgrid": True, "showline": False, "ticks": ""},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
            "dragmode": False,  # a finger on a chart scrolls the page; the bar offers zooming
            "hovermode": "closest",
        }
    )


TEMPLATE = _house_template()


def padded_range(values: Sequence[float] | Values) -> list[float]:
    """The least and the greatest value, each moved out a little so that no mark is cut."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - margin, high + margin]


def label(text: str) -> str:
    """``text`` so that plotly shows it as it is."""
    return html.escape(text, quote=False)


def draw_budget(figure: go.Figure, limit: float, x_range: Sequence[float], text: str) -> None:
    """A dotted line at ``limit`` of the x axis, labelled, and what lies beyond it shaded.

    Args:
        figure: to draw on.
        limit: in the axis' own unit.
        x_range: of the axis; it decides on which side of the line the label has room.
        text: what the budget is.
    """
    left, right = x_range
    figure.add_vrect(x0=limit, x1=right, fillcolor=AMBER, opacity=0.09, line_width=0, layer="below")
    middle = (left + right) / 2
    figure.add_vline(x=limit, line={"color": AMBER, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=limit,
        y=1,
        yref="paper",
        text=f"budget {label(text)}",
        showarrow=False,
        xshift=3 if limit < middle else -3,
        xanchor="left" if limit < middle else "right",
        yanchor="top",
        font={"color": AMBER, "size": 12.5},
    )
