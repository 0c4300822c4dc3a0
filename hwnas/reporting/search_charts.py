"""The charts of a search: what is maximised against each cost, and how the search got better.

The first show all that was evaluated, the other random archs within the same budgets as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Indices, Values
from hwnas.graph.count import cost
from hwnas.prediction.lowered import LayerSum
from hwnas.records.search import SearchObjective, SearchRecord
from hwnas.reporting.theme import AMBER, BLUE, GREY, HAIRLINE, TEMPLATE, WINNER, draw_budget, label, padded_range
from hwnas.reporting.units import axis, compared, large, percent, shown, words


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
    rest = np.setdiff1d(np.arange(len(search.archs)), search.front)
    return np.setdiff1d(rest, over_budget(search))


def front_figure(search: SearchRecord, gain: int, against: int) -> go.Figure:
    """Every evaluated arch, the front and the winner: one column of ``values`` upwards, another to the right."""
    objective = search.objectives[against]
    x, y = _scaled(search, against), _scaled(search, gain)
    hover = np.array(_hover_texts(search), dtype=object)
    figure = go.Figure(layout={"template": TEMPLATE})

    def dots(index: Indices, name: str, marker: dict[str, object]) -> None:
        if len(index):
            figure.add_scatter(
                x=x[index],
                y=y[index],
                text=hover[index],
                name=name,
                mode="markers",
                marker=marker,
                hovertemplate="%{text}<extra></extra>",
            )

    front = np.array(search.front, dtype=np.int64)
    dots(
        np.setdiff1d(over_budget(search), front),
        "over budget",
        {"size": 6, "symbol": "x", "color": AMBER, "opacity": 0.55},
    )
    dots(dominated(search), "dominated", {"size": 7, "color": GREY, "opacity": 0.5})
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
    if search.winner_index is not None:
        dots(np.array([search.winner_index]), "winner", WINNER)
    budget = search.budgets.get(objective.name)
    factor, _ = axis(objective.unit)
    x_range = padded_range([*x, *([] if budget is None else [factor * budget])])
    if budget is not None:
        draw_budget(figure, factor * budget, x_range, shown(budget, objective.unit))
    bottom, top = padded_range(y)
    figure.update_xaxes(title=axis_title(objective), range=x_range)
    figure.update_yaxes(  # with room for the budget's label
        title=axis_title(search.objectives[gain]), range=[bottom, top + 0.06 * (top - bottom)]
    )
    return figure


def front_description(search: SearchRecord, gain: int, against: int) -> str:
    """The chart of :func:`front_figure` in words."""
    y, x = search.objectives[gain], search.objectives[against]
    text = f"{words(y.name).capitalize()} against {words(x.name)} of {len(search.archs):,} networks"
    if not search.front:
        return f"{text}; none is on the front"
    cheapest, dearest = (search.values[at(search.front, key=lambda i: search.values[i, against])] for at in (min, max))
    ends = [f"{shown(values[gain], y.unit)} at {shown(values[against], x.unit)}" for values in (cheapest, dearest)]
    over = len(over_budget(search))
    counted = f"{len(search.front)} on the front, {len(dominated(search))} dominated"
    return f"{text}: {counted}{f', {over} over budget' if over else ''}. The front goes from {' to '.join(ends)}"


def axis_title(objective: SearchObjective) -> str:
    """What an axis with this objective is called, with its unit."""
    unit = axis(objective.unit)[1]
    return label(words(objective.name)) + (f" ({label(unit)})" if unit else "")


def counted_madds(search: SearchRecord) -> Values | None:
    """(M,) multiply-adds of all archs, by formula; None where they are an objective and so in ``values``."""
    if any(objective.name == "madds" for objective in search.objectives):
        return None
    return LayerSum(search.get_space().plain(), lambda op: float(cost(op).madds))(search.archs)


def _scaled(search: SearchRecord, column: int) -> Values:
    factor, _ = axis(search.objectives[column].unit)
    return factor * search.values[:, column]


def _hover_texts(search: SearchRecord) -> list[str]:
    """For each evaluation its arch, its objectives and, if they aren't one, its multiply-adds."""
    source, counted = label(search.space.source), counted_madds(search)
    texts = []
    for index, (arch, values) in enumerate(zip(search.archs, search.values, strict=True)):
        lines = [f"{source}:<br>{','.join(map(str, arch))}", *map(_objective_text, search.objectives, values)]
        if counted is not None:
            lines.append(f"multiply-adds {large(counted[index])}")
        texts.append("<br>".join(lines))
    return texts


def _objective_text(objective: SearchObjective, value: float) -> str:
    return label(f"{words(objective.name)} {shown(value, objective.unit)}")


def _upper_left(x: Values, y: Values, front: Indices) -> list[int]:
    """Those of the front that none of it beats in these two objectives alone: with a third one some may be."""
    kept: list[int] = []
    for index in sorted(front, key=lambda i: (x[i], -y[i])):
        if not kept or y[index] > y[kept[-1]]:
            kept.append(int(index))
    return kept


def hypervolume_figure(history: Sequence[float], baseline: Sequence[float] | None) -> go.Figure:
    """Hypervolume of the front after each evaluation, and random search's where it is known."""
    figure = go.Figure(layout={"template": TEMPLATE})
    beside = baseline is not None and len(baseline) > 0
    if baseline is not None and beside:
        _line(figure, baseline, "random search", {"color": GREY, "width": 2, "dash": "dash"})
    _line(figure, history, "this search", {"color": BLUE, "width": 2.5})
    figure.update_traces(showlegend=beside)
    figure.update_xaxes(title="evaluations", rangemode="tozero")
    figure.update_yaxes(title="hypervolume", rangemode="tozero")
    return figure


def gained(history: Sequence[float], baseline: Sequence[float]) -> str:
    """What the search gained over random search, as a sentence; both histories are not empty."""
    random_end, end = float(baseline[-1]), float(history[-1])
    if random_end <= 0:
        return f"Random search found nothing within the budgets in {_evaluations(len(baseline))}."
    there = np.flatnonzero(np.array(history) >= random_end)
    if not len(there):
        return (
            f"After {_evaluations(len(history))} it has {percent(end / random_end)} of the hypervolume that random "
            f"search has after {len(baseline):,}."
        )
    reached = (
        f"It reaches random search's final hypervolume after {int(there[0]) + 1:,} of {_evaluations(len(history))}"
    )
    return f"{reached} and ends with {compared(end, random_end)}."


def _line(figure: go.Figure, history: Sequence[float], name: str, line: dict[str, object]) -> None:
    figure.add_scatter(
        x=np.arange(1, len(history) + 1),
        y=list(history),
        name=name,
        mode="lines",
        line={**line, "shape": "hv"},
        hovertemplate=f"{name} after %{{x}} evaluations: %{{y:.4g}}<extra></extra>",
    )


def _evaluations(count: int) -> str:
    return f"{count:,} evaluation{'' if count == 1 else 's'}"
