"""The charts of a search: what is maximised against each cost, and how the search got better.

The first show all that was evaluated, the other random archs within the same budgets as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Indices, Values
from hwnas.errors import counted
from hwnas.evaluation.interval import wilson
from hwnas.prediction.costs import madds
from hwnas.records.search import SearchObjective, SearchRecord
from hwnas.reporting import charts
from hwnas.reporting.markup import Html, code
from hwnas.reporting.units import axis, by_commas, compared, large, named, percent, shown, words


def front_columns(search: SearchRecord) -> tuple[int | None, list[int]]:
    """Columns of ``values``: what is maximised, and the costs to draw it against.

    These are all latencies and all other costs with a budget; the first cost where there is neither. None and no
    columns where there is nothing to draw.
    """
    gains = [k for k, objective in enumerate(search.objectives) if objective.maximize]
    costs = [k for k, objective in enumerate(search.objectives) if not objective.maximize]
    if not gains or not costs or not len(search.archs):
        return None, []
    latencies = [k for k in costs if search.objectives[k].unit == "ms"]
    limited = [k for k in costs if search.objectives[k].name in search.budgets and k not in latencies]
    return gains[0], [*latencies, *limited] or costs[:1]


def over_budget(search: SearchRecord) -> Indices:
    """Indices of the evaluated archs that exceed a budget."""
    limits = [search.budgets.get(objective.name, np.inf) for objective in search.objectives]
    return np.flatnonzero((search.values > np.array(limits)).any(axis=1))


def dominated(search: SearchRecord) -> Indices:
    """Indices of the evaluated archs that are within all budgets and still not on the front."""
    return np.setdiff1d(np.arange(len(search.archs)), [*search.front, *over_budget(search)])


def front_figure(search: SearchRecord, gain: int, against: int) -> go.Figure:
    """Every evaluated arch, the front and the winner: one column of ``values`` upwards, another to the right."""
    objective = search.objectives[against]
    x, y = scaled(search, against), scaled(search, gain)
    hover = np.array(_hover_texts(search), dtype=object)
    front = np.array(search.front, dtype=np.int64)
    factor, _ = axis(objective.unit)
    budget = search.budgets.get(objective.name)
    limit = None if budget is None else factor * budget
    bars, lows, highs = None, list[float](), list[float]()
    if (images := interval_images(search, gain)) and len(front):
        ends = zip(*(wilson(float(share), images) for share in search.values[front, gain]), strict=True)
        lows, highs = ([100 * end for end in each] for each in ends)
        bars = charts.whiskers(y[front].tolist(), lows, highs, color="rgba(59,130,246,0.45)", thickness=1.5, width=0)
    x_range, (bottom, top) = charts.padded_range(x, limit), charts.padded_range(y, *lows, *highs)
    top += 0.06 * (top - bottom)  # room for the budget's label
    figure = charts.blank(
        {"title": axis_title(objective), "range": x_range},
        {"title": axis_title(search.objectives[gain]), "range": [bottom, top]},
    )

    def dots(index: Indices, name: str, bars: Mapping[str, Any] | None = None, **marker: Any) -> None:
        if len(index):
            charts.dots(figure, x[index], y[index], hover[index], marker, name, error_y=bars)

    beyond = np.setdiff1d(over_budget(search), front)
    dots(beyond, "over budget", size=6, symbol="x", color=charts.AMBER, opacity=0.55)
    dots(dominated(search), "dominated", size=7, color=charts.GREY, opacity=0.5)
    if len(front):
        line = _upper_left(x, y, front)
        charts.line(figure, x[line], y[line], {"color": charts.BLUE, "width": 2, "shape": "hv"})
    dots(front, "Pareto front", bars, size=10, color=charts.BLUE, line=charts.HAIRLINE)
    if search.winner_index is not None:
        dots(np.array([search.winner_index]), "winner", **charts.WINNER)
    if limit is not None:
        charts.budget(figure, limit, x_range, shown(search.budgets[objective.name], objective.unit))
    return figure


def interval_images(search: SearchRecord, gain: int) -> int | None:
    """On how many images what is maximised was found, where it is an accuracy and that is known."""
    return search.accuracy_images if gain == 0 and search.objectives[0].unit == "fraction" else None


def front_description(search: SearchRecord, gain: int, against: int) -> str:
    """The chart of :func:`front_figure` in words."""
    y, x = search.objectives[gain], search.objectives[against]
    text = f"{words(y.name).capitalize()} against {words(x.name)} of {counted(len(search.archs), 'network')}"
    if not search.front:
        return f"{text}; none is on the front"
    cheapest, dearest = (search.values[at(search.front, key=lambda i: search.values[i, against])] for at in (min, max))
    ends = [f"{shown(values[gain], y.unit)} at {shown(values[against], x.unit)}" for values in (cheapest, dearest)]
    over = len(over_budget(search))
    within = f"{len(search.front)} on the front, {len(dominated(search))} dominated"
    return f"{text}: {within}{f', {over} over budget' if over else ''}. The front goes from {' to '.join(ends)}"


def arch_code(search: SearchRecord, choices: Iterable[int]) -> Html:
    """An arch as the command line takes it."""
    return code(f"{search.space.source}:{by_commas(choices)}")


def axis_title(objective: SearchObjective) -> str:
    """What an axis with this objective is called, with its unit."""
    unit = axis(objective.unit)[1]
    return charts.label(words(objective.name)) + (f" ({charts.label(unit)})" if unit else "")


def counted_madds(search: SearchRecord) -> Values | None:
    """(M,) multiply-adds of all archs, by formula; None where they are an objective and so in ``values``."""
    if any(objective.name == "madds" for objective in search.objectives):
        return None
    return madds(search.get_space().plain())(search.archs)


def scaled(search: SearchRecord, column: int) -> Values:
    """(M,) a column of ``values`` in the unit of its axis."""
    factor, _ = axis(search.objectives[column].unit)
    return factor * search.values[:, column]


def _hover_texts(search: SearchRecord) -> list[str]:
    """For each evaluation its arch, its objectives and, if they aren't one, its multiply-adds."""
    counts = counted_madds(search)
    texts = []
    for index, (arch, values) in enumerate(zip(search.archs, search.values, strict=True)):
        size = [] if counts is None else [f"multiply-adds {large(counts[index])}"]
        objectives = map(named, search.objectives, values)
        texts.append(charts.hover_text(f"{search.space.source}:", by_commas(arch), *objectives, *size))
    return texts


def _upper_left(x: Values, y: Values, front: Indices) -> list[int]:
    """Those of the front that none of it beats in these two objectives alone: with a third one some may be."""
    kept: list[int] = []
    for index in sorted(front, key=lambda i: (x[i], -y[i])):
        if not kept or y[index] > y[kept[-1]]:
            kept.append(int(index))
    return kept


def hypervolume_figure(history: Sequence[float], baseline: Sequence[float]) -> go.Figure:
    """Hypervolume of the front after each evaluation, and random search's where that isn't empty."""
    from_0 = {"rangemode": "tozero"}
    figure = charts.blank({"title": "evaluations", **from_0}, {"title": "hypervolume", **from_0})
    for values, name, line in (
        (baseline, "random search", {"color": charts.GREY, "width": 2, "dash": "dash"}),
        (history, "this search", {"color": charts.BLUE, "width": 2.5}),
    ):
        if len(values):
            hover = f"{name} after %{{x}} evaluations: %{{y:.4g}}<extra></extra>"
            x, shape = np.arange(1, len(values) + 1), line | {"shape": "hv"}
            figure.add_scatter(x=x, y=list(values), name=name, mode="lines", line=shape, hovertemplate=hover)
    return figure.update_traces(showlegend=len(baseline) > 0)


def hypervolume_unit(search: SearchRecord) -> str:
    """What hypervolumes of a search are counted in: its objectives' own units, multiplied."""
    units = {"fraction": "accuracy (0 to 1)", "madds": "multiply-adds", "params": "parameters", "": "1"}
    return " × ".join(units.get(objective.unit, objective.unit) for objective in search.objectives)


def gained(history: Sequence[float], baseline: Sequence[float]) -> str:
    """What the search gained over random search, as a sentence; both histories are not empty."""
    random_end, end = float(baseline[-1]), float(history[-1])
    if random_end <= 0:
        return f"Random search found nothing within the budgets in {counted(len(baseline), 'evaluation')}."
    there = np.flatnonzero(np.array(history) >= random_end)
    of_all = counted(len(history), "evaluation")
    if not len(there):
        part = percent(end / random_end)
        return f"After {of_all} it has {part} of the hypervolume that random search has after {len(baseline):,}."
    reached = f"It reaches random search's final hypervolume after {int(there[0]) + 1:,} of {of_all}"
    return f"{reached} and ends with {compared(end, random_end)}."
