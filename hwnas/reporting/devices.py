"""The section on other devices: the same front's latency there, and who of it would still be on the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from hwnas.arrays import Indices
from hwnas.errors import counted
from hwnas.optimize.pareto import non_dominated
from hwnas.prediction.diff import Comparison, compare_latencies
from hwnas.records.search import SearchRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, details, facts, join, lead, side_by_side
from hwnas.reporting.search_charts import arch_code, axis_title, front_columns, scaled
from hwnas.reporting.units import are, by_commas, milliseconds, named, percent, shown, words
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
    if known := {device.name: device.device for device in devices if device.device}:
        parts.append(facts(known))
    return join(*parts, _table(search, devices))


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


def _verdicts(search: SearchRecord, device: Device, archs: Sequence[int]) -> list[str]:
    """How evaluated archs of the front, by their indices, stand on the device."""
    there, budget_ms = set(front_there(search, device).tolist()), device.budget_ms
    over = [budget_ms is not None and device.latency_ms[i] > budget_ms for i in archs]
    return [_OVER if o else _THERE if i in there else _BEATEN for i, o in zip(archs, over, strict=True)]


def _card(search: SearchRecord, first: Device, other: Device, number: int) -> Html:
    front = list(search.front)
    compared = compare_latencies(first.latency_ms[front], other.latency_ms[front])
    verdicts = _verdicts(search, other, front)
    text = f"{_order(compared)} {_standing(search, other, verdicts)}"
    if count := other.interpolated:
        text += f" {counted(count, 'op')} of the space {are(count)} not in its table and estimated from those that are."
    figure = _figure(search, first, other, verdicts, compared.ratio)
    title = f"Latency on {other.name} against {first.name}"
    return charts.card(title, text, figure, f"chart-device-{number}", height_px=440, description=f"{title}. {text}")


def _order(compared: Comparison) -> str:
    ratio = f"A network of the front typically takes {compared.ratio:.3g} times as long there."
    if compared.kendall is None or compared.spearman is None:
        return f"{ratio} They are too few, or too alike, to compare their order."
    return (
        f"Rank correlation: Kendall's τ {compared.kendall:.2f}, Spearman's ρ {compared.spearman:.2f}; of two networks "
        f"the same one is faster on both devices in {percent((1 + compared.kendall) / 2, 0)} of pairs. {ratio}"
    )


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
    reached = f"{named(search.objectives[gain], search.values[best, gain])} at {milliseconds(other.latency_ms[best])}"
    return f"{text}. The best within {milliseconds(other.budget_ms)} there: {reached}."


def _figure(search: SearchRecord, first: Device, other: Device, verdicts: list[str], ratio: float) -> go.Figure:
    front = list(search.front)
    x, y = first.latency_ms[front], other.latency_ms[front]
    x_range, y_range = charts.padded_range(x), charts.padded_range(y, other.budget_ms)
    figure = charts.blank(
        {"title": f"latency on {charts.label(first.name)} (ms)", "range": x_range},
        {"title": f"latency on {charts.label(other.name)} (ms)", "range": y_range},
    )
    charts.line(figure, x_range, [ratio * end for end in x_range], charts.DASHED, f"{ratio:.3g} times as long")
    look = {"size": 11, "line": charts.HAIRLINE, "color": _colors(figure, search)}
    symbols = [_SYMBOLS[verdict] for verdict in verdicts]
    charts.dots(figure, x, y, _hover_texts(search, first, other, verdicts), look | {"symbol": symbols})
    for verdict, symbol in _SYMBOLS.items():  # a legend's mark has one colour, and these say nothing by theirs
        if verdict in verdicts:
            key = {"symbol": symbol, "size": 11, "color": charts.GREY}
            figure.add_scatter(x=[None], y=[None], mode="markers", name=verdict, marker=key)
    if search.winner_index in search.front:
        ring = {"symbol": "circle-open", "size": 20, "color": charts.SCARLET, "line": {"width": 2}}
        at = {"x": first.latency_ms[[search.winner_index]], "y": other.latency_ms[[search.winner_index]]}
        figure.add_scatter(**at, mode="markers", name="winner", marker=ring, hoverinfo="skip")
    if other.budget_ms is not None:
        charts.budget_upwards(figure, other.budget_ms, milliseconds(other.budget_ms))
    return figure


def _colors(figure: go.Figure, search: SearchRecord) -> list[str] | str:
    """The colour of each network of the front, by what is maximised, with its scale drawn."""
    gain, _ = front_columns(search)
    if gain is None:
        return charts.BLUE
    values = scaled(search, gain)[list(search.front)]
    low, high = float(values.min()), float(values.max())
    bar = charts.color_bar(axis_title(search.objectives[gain]))
    scale = {"color": [low], "cmin": low, "cmax": high, "colorscale": _COLORS, "colorbar": bar, "showscale": True}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=scale, showlegend=False)
    return sample_colorscale(_COLORS, (values - low) / (high - low or 1.0))  # type: ignore[no-any-return]


def _hover_texts(search: SearchRecord, first: Device, other: Device, verdicts: list[str]) -> list[str]:
    texts = []
    for index, verdict in zip(search.front, verdicts, strict=True):
        both = zip(search.objectives, search.values[index], strict=True)
        values = [named(objective, value) for objective, value in both if objective.unit != "ms"]
        latencies = [f"{milliseconds(d.latency_ms[index])} on {d.name}" for d in (first, other)]
        texts.append(charts.hover_text(by_commas(search.archs[index]), *values, *latencies, verdict))
    return texts


def _table(search: SearchRecord, devices: tuple[Device, ...]) -> Html:
    """The front by its latency on the first device; a column a device, and how each stands on the others."""
    front = sorted(search.front, key=lambda index: float(devices[0].latency_ms[index]))
    gain, _ = front_columns(search)
    columns: list[tuple[str, str, list[Any]]] = [
        ("architecture", "l", [arch_code(search, search.archs[index]) for index in front])
    ]
    if gain is not None:
        objective = search.objectives[gain]
        columns.append((words(objective.name), "r", [shown(v, objective.unit) for v in search.values[front, gain]]))
    for number, device in enumerate(devices):
        columns.append((device.name, "r", [*map(milliseconds, device.latency_ms[front])]))
        if number:
            columns.append((f"on {device.name}", "l", _verdicts(search, device, front)))
    head, align, cells = zip(*columns, strict=True)
    marked = front.index(search.winner_index) if search.winner_index in front else None
    summary = "All of the front on each device, as a table"
    return details(summary, head, zip(*cells, strict=True), align="".join(align), marked=marked)
