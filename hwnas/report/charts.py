"""The report's charts, as plotly figures.

Colours are those that hold on a light and on a dark page; what must change with the page (text, grid, axes) is
left to ``page.css``. Labels are escaped here because plotly reads a small HTML of its own in texts.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hwnas.predict.count import cost
from hwnas.predict.lowered import LayerSum
from hwnas.report.content import LatencyContent, ObjectiveContent, SearchContent, TrainingContent, Values
from hwnas.report.units import axis, large, shown, words
from hwnas.space.op import MBConv, Op, Stabilizer

BLUE, SCARLET, AMBER, GREY, TEAL, VIOLET = "#3b82f6", "#e5484d", "#d97706", "#94a3b8", "#0d9488", "#8b5cf6"
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_WINNER = {"symbol": "star", "size": 19, "color": SCARLET, "line": {"width": 1.5, "color": "#ffffff"}}
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


def front_axes(search: SearchContent) -> tuple[int, int] | None:
    """Columns of ``values`` for x and y: latency (else another cost) and what is maximised; None without both."""
    costs = [k for k, objective in enumerate(search.objectives) if not objective.maximize]
    gains = [k for k, objective in enumerate(search.objectives) if objective.maximize]
    if not costs or not gains or not len(search.archs):
        return None
    return min(costs, key=lambda k: search.objectives[k].unit != "ms"), gains[0]


def front_figure(search: SearchContent) -> go.Figure:
    """Every evaluated arch, the front and the winner; needs :func:`front_axes`."""
    columns = front_axes(search)
    assert columns is not None
    (x, x_title), (y, y_title) = (_axis_values(search, k) for k in columns)
    hover = np.array(_hover_texts(search), dtype=object)
    front = np.array(search.front, dtype=int)
    others = np.setdiff1d(np.arange(len(x)), front)
    figure = go.Figure(layout={"template": TEMPLATE})

    def dots(index: np.ndarray[tuple[int], np.dtype[np.int64]], name: str, marker: dict[str, object]) -> None:
        figure.add_scatter(
            x=x[index],
            y=y[index],
            text=hover[index],
            name=name,
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<extra></extra>",
        )

    dots(others, "evaluated", {"size": 7, "color": GREY, "opacity": 0.5})
    if len(front):
        line = _upper_left(x, y, front)
        figure.add_scatter(
            x=x[line],
            y=y[line],
            mode="lines",
            line={"color": BLUE, "width": 2, "shape": "hv"},
            showlegend=False,
            hoverinfo="skip",
        )
        dots(front, "Pareto front", {"size": 10, "color": BLUE, "line": HAIRLINE})
    if search.winner is not None:
        dots(np.array([search.winner]), "winner", _WINNER)
    budget = search.budgets.get(search.objectives[columns[0]].name)
    limit = None if budget is None else budget * axis(search.objectives[columns[0]].unit)[0]
    x_range = padded_range([*x, *([] if limit is None else [limit])])
    if limit is not None and budget is not None:
        _draw_budget(figure, limit, x_range, shown(budget, search.objectives[columns[0]].unit))
    bottom, top = padded_range(y)
    figure.update_xaxes(title=x_title, range=x_range)
    figure.update_yaxes(title=y_title, range=[bottom, top + 0.06 * (top - bottom)])  # room for the budget's label
    return figure


def counted_madds(search: SearchContent) -> Values | None:
    """(M,) multiply-adds of all archs, by formula; None where they are an objective and so in ``values``."""
    if any(objective.name == "madds" for objective in search.objectives):
        return None
    return LayerSum(search.space, lambda op: float(cost(op).madds))(search.archs)


def hypervolume_figure(history: Values) -> go.Figure:
    """Hypervolume of the front after each evaluation."""
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_scatter(
        x=np.arange(1, len(history) + 1),
        y=history,
        mode="lines",
        line={"color": BLUE, "width": 2, "shape": "hv"},
        fill="tozeroy",
        fillcolor="rgba(59,130,246,0.10)",
        hovertemplate="after %{x} evaluations: %{y:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(title="evaluations")
    figure.update_yaxes(title="hypervolume", rangemode="tozero")
    return figure


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
        labels = [_label(network.label) for network in latency.networks]
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
            marker=_WINNER,
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
                name=_label(words(name)),
                mode="lines+markers" if len(logged) < 40 else "lines",
                line={"color": next(colors, GREY), "width": 2},
                marker={"size": 5},
                hovertemplate=f"epoch %{{x}}: {_label(words(name))} {value}<extra></extra>",
            )
        figure.update_yaxes(title="accuracy (%)" if accuracy else "loss", row=row)
    figure.update_xaxes(title="epoch", row=len(panels))
    return figure


def choices_figure(search: SearchContent) -> go.Figure:
    """How often each choice stands at each layer among the archs of the front, the winner's ones outlined."""
    space, choices = search.space, int(search.space.num_choices.max())
    archs = search.archs[list(search.front)]
    share = np.full((choices, space.num_layers), np.nan)
    for layer, count in enumerate(space.num_choices):
        share[:count, layer] = 100 * np.bincount(archs[:, layer], minlength=count) / len(archs)
    labels = [_choice_label([ops[index] for ops in space.layers if index < len(ops)]) for index in range(choices)]
    figure = go.Figure(layout={"template": TEMPLATE})
    figure.add_heatmap(
        z=share,
        zmin=0,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        colorscale=[[0, "rgba(59,130,246,0.06)"], [1, "rgba(59,130,246,1)"]],
        colorbar={
            "title": {"text": "of the front", "side": "right"},
            "ticksuffix": " %",
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 4,
        },
        customdata=[[label] * space.num_layers for label in labels],
        hovertemplate="layer %{x}, %{customdata}: %{z:.0f} % of the front<extra></extra>",
    )
    if search.winner is not None:
        figure.add_scatter(
            x=np.arange(space.num_layers),
            y=search.archs[search.winner],
            mode="markers",
            name="winner",
            marker={"symbol": "circle", "size": 7, "color": SCARLET, "line": HAIRLINE},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_xaxes(title="layer", dtick=1 if space.num_layers < 12 else 2, ticks="")
    figure.update_yaxes(tickvals=list(range(choices)), ticktext=labels, autorange="reversed", showgrid=False)
    return figure


def _axis_values(search: SearchContent, column: int) -> tuple[Values, str]:
    objective = search.objectives[column]
    factor, unit = axis(objective.unit)
    return factor * search.values[:, column], _label(words(objective.name)) + (f" ({_label(unit)})" if unit else "")


def _hover_texts(search: SearchContent) -> list[str]:
    """For each evaluation its arch, its objectives and, if they aren't one, its multiply-adds."""
    source, counted = _label(search.space.source), counted_madds(search)
    texts = []
    for index, (arch, values) in enumerate(zip(search.archs, search.values, strict=True)):
        lines = [f"{source}:<br>{','.join(map(str, arch))}", *map(_objective_text, search.objectives, values)]
        if counted is not None:
            lines.append(f"multiply-adds {large(counted[index])}")
        texts.append("<br>".join(lines))
    return texts


def _objective_text(objective: ObjectiveContent, value: float) -> str:
    return _label(f"{words(objective.name)} {shown(value, objective.unit)}")


def _upper_left(x: Values, y: Values, front: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Those of the front that none of it beats in these two objectives alone: with a third one some may be."""
    kept: list[int] = []
    for index in sorted(front, key=lambda i: (x[i], -y[i])):
        if not kept or y[index] > y[kept[-1]]:
            kept.append(int(index))
    return kept


def _draw_budget(figure: go.Figure, limit: float, x_range: list[float], text: str) -> None:
    left, right = x_range
    figure.add_vrect(x0=limit, x1=right, fillcolor=AMBER, opacity=0.09, line_width=0, layer="below")
    middle = (left + right) / 2
    figure.add_vline(x=limit, line={"color": AMBER, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=limit,
        y=1,
        yref="paper",
        text=f"budget {_label(text)}",
        showarrow=False,
        xshift=3 if limit < middle else -3,
        xanchor="left" if limit < middle else "right",
        yanchor="top",
        font={"color": AMBER, "size": 12.5},
    )


def padded_range(values: Sequence[float] | Values) -> list[float]:
    """The least and the greatest value, each moved out a little so that no mark is cut."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - margin, high + margin]


def _choice_label(ops: Sequence[Op]) -> str:
    """What the choice of one index is called, over all layers."""
    return _label(" or ".join(dict.fromkeys(map(_op_label, ops))))


def _op_label(op: Op) -> str:
    if isinstance(op, Stabilizer):
        return "skip"
    if isinstance(op, MBConv):
        return f"{op.kernel}×{op.kernel} e{op.expansion:g}{' SE' if op.se else ''}"
    return op.kind


def _label(text: str) -> str:
    return html.escape(text, quote=False)
