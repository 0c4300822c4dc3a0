"""What all charts share: colours, a plotly template, the few things that are drawn, and how a chart gets into a page.

Colours are those that hold on a light and on a dark page; what must change with the page (text, grid, axes) is
left to ``page.css``. Labels are escaped here because plotly reads a small HTML of its own in texts.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

from hwnas.reporting import markup
from hwnas.reporting.markup import Html, escape

BLUE, SCARLET, AMBER, GREY, TEAL, VIOLET = "#3b82f6", "#e5484d", "#d97706", "#94a3b8", "#0d9488", "#8b5cf6"
SLATE = "#64748b"
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
WINNER: dict[str, Any] = {"symbol": "star", "size": 19, "color": SCARLET, "line": {"width": 1.5, "color": "#ffffff"}}
HAIRLINE = {"width": 1, "color": "rgba(255,255,255,0.75)"}
DOT: dict[str, Any] = {"size": 8, "color": BLUE, "opacity": 0.85, "line": HAIRLINE}
DASHED = {"color": GREY, "dash": "dash", "width": 1.5}
_LIMIT: dict[str, Any] = {
    "line": {"color": AMBER, "width": 1.5, "dash": "dot"},
    "annotation_font": {"color": AMBER, "size": 12.5},
}
_CONFIG = {"displaylogo": False, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]]}


def _house_template() -> go.layout.Template:
    line = {"showline": True, "ticks": "outside", "ticklen": 4, "zeroline": False, "automargin": True}
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 12.5, "color": SLATE},
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


def element(figure: go.Figure, name: str, *, height_px: int, description: str) -> Html:
    """A figure as an element with the id ``name``; ``description`` is for those who can't see it."""
    drawn = pio.to_html(
        figure, config=_CONFIG, include_plotlyjs=False, full_html=False, div_id=name, default_height=f"{height_px}px"
    )
    return Html(
        f'<div class="plot" role="img" aria-label="{escape(description)}">{drawn}</div>'
        '<noscript><p class="note">This chart needs JavaScript; the numbers and tables don\'t.</p></noscript>'
    )


def card(title: str, note: str, figure: go.Figure, name: str, *below: Html, height_px: int, description: str) -> Html:
    """A chart, framed, with a title and a line that says how to read it."""
    return markup.card(title, note, element(figure, name, height_px=height_px, description=description), *below)


def blank(x: Mapping[str, Any], y: Mapping[str, Any]) -> go.Figure:
    """A figure to draw on, with its axes."""
    return go.Figure(layout={"template": TEMPLATE, "xaxis": x, "yaxis": y})


def rows_axis(labels: Sequence[str], **more: Any) -> dict[str, Any]:
    """A y axis that goes down, whose numbers from 0 have names."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": list(map(label, labels)), "showgrid": False}
    return ticks | (more or {"autorange": "reversed"})


def padded_range(values: Iterable[float], *also: float | None) -> list[float]:
    """The least and the greatest of what is given, each moved out a little so that no mark is cut."""
    among = [*values, *(value for value in also if value is not None)]
    low, high = float(min(among)), float(max(among))
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - margin, high + margin]


def label(text: str) -> str:
    """``text`` so that plotly shows it as it is."""
    return html.escape(text, quote=False)


def hover_text(*lines: str) -> str:
    """What is shown where a dot is pointed at."""
    return "<br>".join(map(label, lines))


def color_bar(title: str, **more: Any) -> dict[str, Any]:
    """The scale of dots' colours."""
    return {"title": {"text": title, "side": "right"}, "thickness": 10, "outlinewidth": 0, **more}


def whiskers(
    values: Collection[float], lows: Iterable[float | None], highs: Iterable[float | None], **look: Any
) -> dict[str, Any]:
    """Error bars from ``lows`` to ``highs``; none where these are None."""
    below = [0 if low is None else value - low for value, low in zip(values, lows, strict=True)]
    above = [0 if high is None else high - value for value, high in zip(values, highs, strict=True)]
    return {"type": "data", "symmetric": False, "arrayminus": below, "array": above, **look}


def dots(figure: go.Figure, x: Any, y: Any, texts: Any, marker: Mapping[str, Any], name: str = "", **more: Any) -> None:
    """Dots that show their text when they are pointed at; without a name they aren't in the legend."""
    shown = {"hovertemplate": "%{text}<extra></extra>"} | more
    figure.add_scatter(x=x, y=y, text=texts, mode="markers", marker=marker, **_in_legend(name), **shown)


def line(figure: go.Figure, x: Any, y: Any, line: Mapping[str, Any], name: str = "", **more: Any) -> None:
    """A line that nothing is said of; without a name it isn't in the legend."""
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **_in_legend(name), **more)


def band(figure: go.Figure, x: Sequence[float], one: float, other: float, color: str, name: str, **at: Any) -> None:
    """What lies between two multiples of x, shaded."""
    outline = [*x, *reversed(x)], [*(one * each for each in x), *(other * each for each in reversed(x))]
    line(figure, *outline, {"width": 0}, name, fill="toself", fillcolor=color, **at)


def agreement(figure: go.Figure, ends: Sequence[float], **at: Any) -> None:
    """The line where predicted is measured, with axes that both go from end to end."""
    line(figure, ends, ends, DASHED, "predicted = measured", **at)
    figure.update_xaxes(range=ends, **at)
    figure.update_yaxes(range=ends, **at)


def budget(figure: go.Figure, limit: float, x_range: Sequence[float], text: str) -> None:
    """A dotted line at ``limit`` of the x axis, labelled, and what lies beyond it shaded.

    Args:
        figure: to draw on.
        limit: in the axis' own unit.
        x_range: of the axis; it decides on which side of the line the label has room.
        text: what the budget is.
    """
    left, right = x_range
    figure.add_vrect(x0=limit, x1=right, fillcolor=AMBER, opacity=0.09, line_width=0, layer="below")
    side, shift_px = ("right", 3) if limit < (left + right) / 2 else ("left", -3)
    figure.add_vline(
        limit, annotation_text=f"budget {label(text)}", annotation_position=f"top {side}", annotation_xshift=shift_px,
        **_LIMIT,
    )  # fmt: skip


def budget_upwards(figure: go.Figure, limit: float, text: str) -> None:
    """The same for the y axis, where nothing is shaded."""
    figure.add_hline(limit, annotation_text=f"budget {label(text)}", annotation_position="top right", **_LIMIT)


def _in_legend(name: str) -> dict[str, Any]:
    return {"name": name} if name else {"showlegend": False}
