"""The section on other devices: the same front's latency there, and who of it would still be on the front."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from hwnas.arrays import Indices, Values
from hwnas.optimize.pareto import non_dominated
from hwnas.prediction.diff import Comparison, compare_latencies
from hwnas.records.search import SearchRecord
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, side_by_side, table
from hwnas.reporting.page import chart
from hwnas.reporting.search_charts import axis_title, front_columns
from hwnas.reporting.theme import AMBER, BLUE, GREY, HAIRLINE, SCARLET, TEMPLATE, label, padded_range
from hwnas.reporting.units import axis, milliseconds, shown, words
from hwnas.reporting.views import Device

_THERE, _BEATEN, _OVER = "on the front there too", "beaten there", "over budget there"
_SYMBOLS = {_THERE: "circle", _BEATEN: "x", _OVER: "triangle-up"}
_COLORS = [[0, "#f59e0b"], [0.5, "#d6459b"], [1, "#4f46e5"]]  # lightness falls, and both ends show on either page


def devices_section(search: SearchRecord, devices: tuple[Device, ...]) -> Html | None:
    """The front on each device but the first, compared with the first, for which it was searched.

    None where there is nothing to compare: no front, or no second device.
    """
    if not search.front or len(devices) < 2:
        return None
    first, *others = devices
    parts = [
        lead(
            "The networks of the front on other devices, as their tables predict them. A network is on the front there "
            f"if none of the {len(search.archs):,} evaluated beats it where only that device's latency counts."
        ),
        side_by_side([_card(search, first, other, number) for number, other in enumerate(others)]),
    ]
    known = {device.name: device.device for device in devices if device.device}
    if known:
        parts.append(facts(known))
    parts.append(details("All of the front on each device, as a table", _table(search, devices)))
    return join(parts)


def front_there(search: SearchRecord, device: Device) -> Indices:
    """Ascending indices of the evaluated archs on the front where only this device's latency counts.

    All objectives that aren't latencies count as they do in the search, with their budgets, and the device's own.
    """
    kept = [k for k, objective in enumerate(search.objectives) if objective.unit != "ms"]
    within = device.latency_ms <= (np.inf if device.budget_ms is None else device.budget_ms)
    for k in kept:
        within &= search.values[:, k] <= search.budgets.get(search.objectives[k].name, np.inf)
    inside = np.flatnonzero(within)
    values = np.column_stack([search.values[:, kept], device.latency_ms])[inside]
    return inside[non_dominated(values, np.array([*(search.objectives[k].maximize for k in kept), False]))]


def _verdicts(search: SearchRecord, device: Device) -> list[str]:
    """For each network of the front how it stands on the device."""
    there, budget_ms = set(front_there(search, device).tolist()), device.budget_ms
    over = [budget_ms is not None and device.latency_ms[i] > budget_ms for i in search.front]
    return [_OVER if o else _THERE if i in there else _BEATEN for i, o in zip(search.front, over, strict=True)]


def _card(search: SearchRecord, first: Device, other: Device, number: int) -> Html:
    front = list(search.front)
    compared = compare_latencies(first.latency_ms[front], other.latency_ms[front])
    verdicts = _verdicts(search, other)
    text = f"{_order(compared)} {_standing(search, other, verdicts)}"
    if other.interpolated:
        text += (
            f" {_plural(other.interpolated, 'op')} of the space {'is' if other.interpolated == 1 else 'are'} not in "
        )
        text += "its table and estimated from those that are."
    figure = _figure(search, first, other, verdicts, compared.ratio)
    title = f"Latency on {other.name} against {first.name}"
    return card(title, text, chart(figure, f"chart-device-{number}", height_px=440, description=f"{title}. {text}"))


def _order(compared: Comparison) -> str:
    ratio = f"A network of the front typically takes {compared.ratio:.3g} times as long there."
    if compared.kendall is None or compared.spearman is None:
        return f"{ratio} They are too few, or too alike, to compare their order."
    return (
        f"Rank correlation: Kendall's τ {compared.kendall:.2f}, Spearman's ρ {compared.spearman:.2f}; of two networks "
        f"the same one is faster on both devices in {(1 + compared.kendall) / 2:.0%} of pairs. {ratio}"
    ).replace("%", "\N{NO-BREAK SPACE}%")


def _standing(search: SearchRecord, other: Device, verdicts: list[str]) -> str:
    counts = {verdict: verdicts.count(verdict) for verdict in _SYMBOLS}
    text = f"{counts[_THERE]} of {len(verdicts)} are on the front there too"
    text += f", {counts[_BEATEN]} are beaten there by others that were evaluated" if counts[_BEATEN] else ""
    if other.budget_ms is None:
        return f"{text}."
    text += f", {counts[_OVER]} are over the budget of {milliseconds(other.budget_ms)}" if counts[_OVER] else ""
    gain, _ = front_columns(search)
    there = front_there(search, other)
    if gain is None or not len(there):
        return f"{text}. None of the evaluated networks meets the budget there." if not len(there) else f"{text}."
    best = there[np.argmax(search.values[there, gain])]
    objective = search.objectives[gain]
    return (
        f"{text}. The best within {milliseconds(other.budget_ms)} there: {words(objective.name)} "
        f"{shown(search.values[best, gain], objective.unit)} at {milliseconds(other.latency_ms[best])}."
    )


def _figure(search: SearchRecord, first: Device, other: Device, verdicts: list[str], ratio: float) -> go.Figure:
    figure = go.Figure(layout={"template": TEMPLATE})
    front = np.array(search.front)
    x, y = first.latency_ms[front], other.latency_ms[front]
    x_range, y_range = padded_range(x), padded_range([*y, *([] if other.budget_ms is None else [other.budget_ms])])
    figure.add_scatter(
        x=x_range,
        y=[ratio * end for end in x_range],
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name=f"{ratio:.3g} times as long",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        text=_hover_texts(search, first, other, verdicts),
        mode="markers",
        marker={
            "symbol": [_SYMBOLS[verdict] for verdict in verdicts],
            "size": 11,
            "line": HAIRLINE,
            "color": _colors(figure, search),
        },
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    for verdict, symbol in _SYMBOLS.items():  # a legend's mark has one colour, and these say nothing by theirs
        if verdict in verdicts:
            key = {"symbol": symbol, "size": 11, "color": GREY}
            figure.add_scatter(x=[None], y=[None], mode="markers", name=verdict, marker=key)
    if search.winner_index in search.front:
        ring = {"symbol": "circle-open", "size": 20, "color": SCARLET, "line": {"width": 2}}
        at = {"x": first.latency_ms[[search.winner_index]], "y": other.latency_ms[[search.winner_index]]}
        figure.add_scatter(**at, mode="markers", name="winner", marker=ring, hoverinfo="skip")
    if other.budget_ms is not None:
        figure.add_hline(y=other.budget_ms, line={"color": AMBER, "width": 1.5, "dash": "dot"})
        figure.add_annotation(
            text=f"budget {milliseconds(other.budget_ms)}", x=1, xref="paper", xanchor="right", y=other.budget_ms,
            yanchor="bottom", showarrow=False, font={"color": AMBER, "size": 12.5},
        )  # fmt: skip
    figure.update_xaxes(title=f"latency on {label(first.name)} (ms)", range=x_range)
    figure.update_yaxes(title=f"latency on {label(other.name)} (ms)", range=y_range)
    return figure


def _colors(figure: go.Figure, search: SearchRecord) -> list[str] | str:
    """The colour of each network of the front, by what is maximised, with its scale drawn."""
    gain, _ = front_columns(search)
    if gain is None:
        return BLUE
    factor, _ = axis(search.objectives[gain].unit)
    values: Values = factor * search.values[list(search.front), gain]
    low, high = float(values.min()), float(values.max())
    bar = {"title": {"text": axis_title(search.objectives[gain]), "side": "right"}, "thickness": 10, "outlinewidth": 0}
    scale = {"color": [low], "cmin": low, "cmax": high, "colorscale": _COLORS, "colorbar": bar, "showscale": True}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=scale, showlegend=False)
    return sample_colorscale(_COLORS, (values - low) / (high - low or 1.0))  # type: ignore[no-any-return]


def _hover_texts(search: SearchRecord, first: Device, other: Device, verdicts: list[str]) -> list[str]:
    texts = []
    for index, verdict in zip(search.front, verdicts, strict=True):
        values = [
            f"{words(objective.name)} {shown(value, objective.unit)}"
            for objective, value in zip(search.objectives, search.values[index], strict=True)
            if objective.unit != "ms"
        ]
        latencies = [f"{milliseconds(d.latency_ms[index])} on {d.name}" for d in (first, other)]
        lines = [",".join(map(str, search.archs[index])), *values, *latencies, verdict]
        texts.append("<br>".join(map(label, lines)))
    return texts


def _table(search: SearchRecord, devices: tuple[Device, ...]) -> Html:
    first, *others = devices
    order = np.argsort(first.latency_ms[list(search.front)], kind="stable")
    verdicts = [_verdicts(search, other) for other in others]
    gain, _ = front_columns(search)
    rows = []
    for place in order:
        index = search.front[place]
        row: list[object] = [code(f"{search.space.source}:{','.join(map(str, search.archs[index]))}")]
        if gain is not None:
            row.append(shown(search.values[index, gain], search.objectives[gain].unit))
        row.append(milliseconds(first.latency_ms[index]))
        for other, verdict in zip(others, verdicts, strict=True):
            row += [milliseconds(other.latency_ms[index]), verdict[place]]
        rows.append(row)
    head = ["architecture", *([] if gain is None else [words(search.objectives[gain].name)]), first.name]
    align = "l" + "r" * (len(head) - 1)
    for other in others:
        head += [other.name, f"on {other.name}"]
        align += "rl"
    marked = (
        [search.front[place] for place in order].index(search.winner_index)
        if search.winner_index in search.front
        else None
    )
    return table(head, rows, align=align, marked=marked)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
