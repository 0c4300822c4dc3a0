"""The section on a search: the front, how it was found, and what its networks have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwnas.records.search import SearchObjective, SearchRecord
from hwnas.reporting.choices import choices_description, choices_figure, choices_height_px, choices_table
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, side_by_side, table
from hwnas.reporting.page import chart
from hwnas.reporting.search_charts import (
    counted_madds,
    front_columns,
    front_description,
    front_figure,
    gained,
    hypervolume_figure,
    over_budget,
)
from hwnas.reporting.units import large, shown, words


def search_section(search: SearchRecord) -> Html:
    """The front in charts and a table, how the search went, and what the front's archs have in common."""
    parts = [lead(_lead(search)), side_by_side(list(_front_cards(search)))]
    if search.hypervolume_history:
        parts.append(_convergence_card(search))
    if search.front:
        parts.append(_choices_card(search))
    parts.append(facts(_known(search)))
    if search.front:
        parts.append(details(f"All {len(search.front)} architectures of the front, as a table", _front_table(search)))
    if search.failed:
        rows = [[_name(search, failed.choices), failed.reason] for failed in search.failed]
        many = len(rows) > 1
        summary = (
            f"The {len(rows)} networks that couldn't be evaluated" if many else "The one that couldn't be evaluated"
        )
        parts.append(details(summary, table(["architecture", "why"], rows, align="ll")))
    return join(parts)


def _lead(search: SearchRecord) -> str:
    limits = " and ".join(f"{words(name)} ≤ {_budget(search, name)}" for name in search.budgets)
    within = f" with {limits}" if limits else ""
    count = len(search.failed)
    failed = f"; {count} more couldn't be and {'is' if count == 1 else 'are'} left out" if count else ""
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
        if len(over_budget(search)):
            note += " Crosses are over a budget."
        drawn = chart(
            front_figure(search, gain, column),
            f"chart-front-{number}" if number else "chart-front",
            height_px=440,
            description=front_description(search, gain, column),
        )
        yield card(f"{words(y.name).capitalize()} against {words(x.name)}", note, drawn)


def _convergence_card(search: SearchRecord) -> Html:
    history = search.hypervolume_history
    baseline = search.baseline.hypervolume_history if search.baseline else None
    note = "The area between the front and a fixed reference point: it grows as the front gets better."
    text = f"Hypervolume after each of {len(history)} evaluations"
    if baseline:
        note += f" {gained(history, baseline)}"
        text += f", beside random search's. {gained(history, baseline)}"
    figure = hypervolume_figure(history, baseline)
    return card("How the search went", note, chart(figure, "chart-hypervolume", height_px=330, description=text))


def _choices_card(search: SearchRecord) -> Html:
    note = "The number in a cell says how many per cent of the front's networks take this choice."
    if search.winner_index is not None:
        note += " The winner's choices are outlined in red."
    drawn = chart(
        choices_figure(search),
        "chart-choices",
        height_px=choices_height_px(search),
        description=choices_description(search),
    )
    as_table = details("The same as a table", choices_table(search))
    return card("What the front has in common", note, join([drawn, as_table]))


def _known(search: SearchRecord) -> dict[str, object]:
    space = search.get_space()
    reference = ", ".join(_value(o, v) for o, v in zip(search.objectives, search.reference, strict=True))
    return {
        "space": f"{space.name}, {space.num_layers} layers, {large(space.size)} architectures",
        "input": f"{space.resolution}×{space.resolution} pixels",
        "strategy": search.strategy,
        "evaluations": f"{len(search.archs):,}" + (f", {len(search.failed)} more failed" if search.failed else ""),
        "seed": str(search.seed),
        **{f"budget: {words(name)}": f"at most {_budget(search, name)}" for name in search.budgets},
        "hypervolume": f"{search.hypervolume:.5g}",
        "its reference point": reference,
    }


def _budget(search: SearchRecord, name: str) -> str:
    unit = next((objective.unit for objective in search.objectives if objective.name == name), "")
    return shown(search.budgets[name], unit)


def _value(objective: SearchObjective, value: float) -> str:
    return f"{words(objective.name)} {shown(value, objective.unit)}"


def _name(search: SearchRecord, choices: Iterable[int]) -> Html:
    return code(f"{search.space.source}:{','.join(map(str, choices))}")


def _front_table(search: SearchRecord) -> Html:
    _, columns = front_columns(search)
    order = sorted(search.front, key=lambda i: search.values[i, columns[0] if columns else 0])
    counted = counted_madds(search)
    rows = [
        [
            _name(search, search.archs[i]),
            *(shown(v, o.unit) for o, v in zip(search.objectives, search.values[i], strict=True)),
            *([] if counted is None else [large(counted[i])]),
        ]
        for i in order
    ]
    head = ["architecture", *(words(o.name) for o in search.objectives)] + ["multiply-adds"] * (counted is not None)
    marked = order.index(search.winner_index) if search.winner_index in order else None
    return table(head, rows, align="l" + "r" * (len(head) - 1), marked=marked)
