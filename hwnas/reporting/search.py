"""The section on a search: the front, how it was found, and what its networks have in common."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.errors import counted
from hwnas.records.search import SearchRecord
from hwnas.reporting import charts
from hwnas.reporting.choices import choices_card
from hwnas.reporting.markup import Html, details, facts, join, lead, side_by_side
from hwnas.reporting.search_charts import (
    arch_code,
    counted_madds,
    front_columns,
    front_description,
    front_figure,
    gained,
    hypervolume_figure,
    hypervolume_unit,
    interval_images,
    over_budget,
)
from hwnas.reporting.units import are, large, named, shown, words


def search_section(search: SearchRecord, doubt: str | None = None) -> Html:
    """The front in charts and a table, how the search went, and what the front's archs have in common."""
    said = f" {doubt[0].upper()}{doubt[1:]}." if doubt else ""
    parts = [lead(_lead(search) + said), side_by_side(list(_front_cards(search)))]
    if search.hypervolume_history:
        parts.append(_convergence_card(search))
    if search.front:
        parts.append(choices_card(search))
    parts.append(facts(_known(search)))
    if search.front:
        parts.append(_front_table(search))
    if search.failed:
        rows = [[arch_code(search, failed.choices), failed.reason] for failed in search.failed]
        which = f"{len(rows)} networks" if len(rows) > 1 else "one"
        parts.append(details(f"The {which} that couldn't be evaluated", ["architecture", "why"], rows, align="ll"))
    return join(*parts)


def _lead(search: SearchRecord) -> str:
    limits = " and ".join(f"{words(name)} ≤ {_budget(search, name)}" for name in search.budgets)
    within = f" with {limits}" if limits else ""
    count = len(search.failed)
    failed = f"; {count} more couldn't be and {are(count)} left out" if count else ""
    if not search.front:
        none = f"None of the {len(search.archs):,} evaluated networks{within} is on a front: nothing met the request"
        return f"{none}{failed}."
    which = "of the evaluated" if count else "of them"
    return (
        f"{len(search.archs):,} networks were evaluated{failed}. {len(search.front)} {which}{within} "
        f"can't be improved in one objective without losing in another: the Pareto front."
    )


def _front_cards(search: SearchRecord) -> Iterator[Html]:
    gain, columns = front_columns(search)
    if gain is None:
        yield lead("There is no chart: it takes evaluations, something to maximise and a cost to minimise.")
        return
    for number, column in enumerate(columns):
        y, x = search.objectives[gain], search.objectives[column]
        note = "Up and to the left is better. Point at a dot to see its architecture."
        if len(search.objectives) > 2:
            note += " A network of the front that lies below the line is better in another objective."
        if interval_images(search, gain):
            note += " Bars are 95 % intervals of the front's accuracies."
        if len(over_budget(search)):
            note += " Crosses are over a budget."
        title, name = f"{words(y.name).capitalize()} against {words(x.name)}", "chart-front"
        name += f"-{number}" if number else ""
        figure, text = front_figure(search, gain, column), front_description(search, gain, column)
        yield charts.card(title, note, figure, name, height_px=440, description=text)


def _convergence_card(search: SearchRecord) -> Html:
    history = search.hypervolume_history
    baseline = search.baseline.hypervolume_history if search.baseline else ()
    space = "area" if len(search.objectives) == 2 else "volume"
    note = (
        f"The {space} between the front and a fixed reference point, in {hypervolume_unit(search)}: it grows as the "
        "front gets better. Only searches with the same reference point compare."
    )
    text = f"Hypervolume after each of {len(history)} evaluations"
    if baseline:
        gain = gained(history, baseline)
        note += f" {gain}"
        text += f", beside random search's. {gain}"
    figure = hypervolume_figure(history, baseline)
    return charts.card("How the search went", note, figure, "chart-hypervolume", height_px=330, description=text)


def _known(search: SearchRecord) -> dict[str, object]:
    space = search.get_space()
    return {
        "space": f"{space.name}, {space.num_layers} layers, {large(space.size)} architectures",
        "input": f"{space.resolution}×{space.resolution} pixels",
        "strategy": search.strategy,
        "evaluations": f"{len(search.archs):,}" + (f", {len(search.failed)} more failed" if search.failed else ""),
        "seed": str(search.seed),
        **{f"budget: {words(name)}": f"at most {_budget(search, name)}" for name in search.budgets},
        "hypervolume": f"{search.hypervolume:.5g}, in {hypervolume_unit(search)}",
        "its reference point": ", ".join(map(named, search.objectives, search.reference)),
    }


def _budget(search: SearchRecord, name: str) -> str:
    unit = next((objective.unit for objective in search.objectives if objective.name == name), "")
    return shown(search.budgets[name], unit)


def _front_table(search: SearchRecord) -> Html:
    _, columns = front_columns(search)
    order = sorted(search.front, key=lambda i: search.values[i, columns[0] if columns else 0])
    counts = counted_madds(search)
    rows = [
        [
            arch_code(search, search.archs[i]),
            *(shown(v, o.unit) for o, v in zip(search.objectives, search.values[i], strict=True)),
            *([] if counts is None else [large(counts[i])]),
        ]
        for i in order
    ]
    head = ["architecture", *(words(o.name) for o in search.objectives)] + ["multiply-adds"] * (counts is not None)
    marked = order.index(search.winner_index) if search.winner_index in order else None
    return details(f"All {counted(len(rows), 'architecture')} of the front, as a table", head, rows, marked=marked)
