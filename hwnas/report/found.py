"""The sections on what was found: the front, the winner, its latency."""

from __future__ import annotations

import numpy as np

from hwnas.predict.count import cost
from hwnas.report.charts import (
    choices_figure,
    counted_madds,
    front_axes,
    front_figure,
    hypervolume_figure,
    latency_figure,
)
from hwnas.report.content import LatencyContent, ObjectiveContent, SearchContent, WinnerContent
from hwnas.report.embed import chart
from hwnas.report.headline import compared
from hwnas.report.markup import Html, card, code, details, facts, join, lead, side_by_side, table
from hwnas.report.network import describe, draw_network, shape
from hwnas.report.units import large, milliseconds, percent, shown, words


def search_section(search: SearchContent) -> Html:
    """The front in a chart and a table, how the search went, and what the front's archs have in common."""
    budgets = {f"budget: {words(name)}": f"at most {_budget(search, name)}" for name in search.budgets}
    parts = [lead(_search_lead(search))]
    columns = front_axes(search)
    if columns is None:
        parts.append(lead("There is no chart: it takes evaluations, something to maximise and a cost to minimise."))
    else:
        x, y = (search.objectives[k] for k in columns)
        note = "Up and to the left is better. Point at a dot to see its architecture."
        if len(search.objectives) > 2:
            note += " A network of the front that lies below the line is better in another objective."
        parts.append(
            card(
                f"{words(y.name).capitalize()} against {words(x.name)}",
                note,
                chart(front_figure(search), "chart-front", height_px=440, description=_search_lead(search)),
            )
        )
    pair = []
    if search.hypervolume_history is not None and len(search.hypervolume_history):
        note = "The area between the front and a fixed reference point: it grows as the front gets better."
        figure = hypervolume_figure(search.hypervolume_history)
        text = f"Hypervolume after each of {len(search.hypervolume_history)} evaluations"
        drawn = chart(figure, "chart-hypervolume", height_px=330, description=text)
        pair.append(card("How the search went", note, drawn))
    if search.front:
        note = "The stronger the colour, the more networks of the front take this choice. Red dots: the winner."
        text = "How often each choice is taken at each layer among the networks of the front"
        drawn = chart(choices_figure(search), "chart-choices", height_px=330, description=text)
        pair.append(card("What the front has in common", note, drawn))
    parts.append(side_by_side(pair))
    known: dict[str, object] = {
        "space": f"{search.space.name}, {search.space.num_layers} layers, {large(search.space.size)} architectures",
        "input": f"{search.space.resolution}×{search.space.resolution} pixels",
        "strategy": search.strategy,
        "evaluations": f"{search.evaluations:,}",
        "seed": str(search.seed),
        **budgets,
    }
    if search.hypervolume is not None:
        reference = ", ".join(_value(o, v) for o, v in zip(search.objectives, search.reference_point, strict=True))
        known |= {"hypervolume": f"{search.hypervolume:.5g}", "its reference point": reference}
    parts.append(facts(known))
    if search.front:
        parts.append(details(f"All {len(search.front)} architectures of the front, as a table", _front_table(search)))
    return join(parts)


def _search_lead(search: SearchContent) -> str:
    limits = " and ".join(f"{words(name)} ≤ {_budget(search, name)}" for name in search.budgets)
    within = f" with {limits}" if limits else ""
    if not search.front:
        return f"None of the {search.evaluations:,} evaluated networks{within} is on a front: nothing met the request."
    return (
        f"{search.evaluations:,} networks were evaluated. {len(search.front)} of them{within} "
        f"can't be improved in one objective without losing in another: the Pareto front."
    )


def _budget(search: SearchContent, name: str) -> str:
    unit = next((objective.unit for objective in search.objectives if objective.name == name), "")
    return shown(search.budgets[name], unit)


def _value(objective: ObjectiveContent, value: float) -> str:
    return f"{words(objective.name)} {shown(value, objective.unit)}"


def _front_table(search: SearchContent) -> Html:
    columns = front_axes(search)
    order = sorted(search.front, key=lambda i: search.values[i, columns[0] if columns else 0])
    counted = counted_madds(search)
    rows = [
        [
            code(f"{search.space.source}:{','.join(map(str, search.archs[i]))}"),
            *(shown(v, o.unit) for o, v in zip(search.objectives, search.values[i], strict=True)),
            *([] if counted is None else [large(counted[i])]),
        ]
        for i in order
    ]
    head = ["architecture", *(words(o.name) for o in search.objectives)] + ["multiply-adds"] * (counted is not None)
    marked = order.index(search.winner) if search.winner in order else None
    return table(head, rows, align="l" + "r" * (len(head) - 1), marked=marked)


def winner_section(winner: WinnerContent) -> Html:
    """The network drawn, its accuracies, its stabilizers and its layers one by one."""
    space = winner.arch.space
    skipped = space.num_layers - sum(place.startswith("layers.") for place, _ in winner.walk)
    gone = f" {skipped} of its {space.num_layers} layers {'is' if skipped == 1 else 'are'} skipped." if skipped else ""
    parts = [
        lead(f"The network from input to output.{gone} Layers are counted from 0, as in the architecture's name."),
        card(
            "Layer by layer",
            "A block's height stands for its channels, from its input on the left to its output on the right.",
            draw_network(winner),
        ),
    ]
    known: dict[str, object] = {f"accuracy, {name}": percent(value) for name, value in winner.accuracies.items()}
    parts.append(facts({"architecture": code(str(winner.arch)), **known}))
    if winner.stabilizers:
        notes = table(["layer", "what became of it"], sorted(winner.stabilizers.items()), align="ll")
        explained = "During training a stabilizer stands in for each skipped layer."
        parts.append(card("Stabilizers", explained, notes))
    return join([*parts, details("All layers, as a table", _layer_table(winner))])


def _layer_table(winner: WinnerContent) -> Html:
    total_ms = sum(winner.predicted_ms.values())
    rows = []
    for place, op in winner.walk:
        op_madds, op_params, *_ = cost(op)
        ms = winner.predicted_ms.get(place)
        rows.append(
            [
                place,
                describe(op),
                " → ".join(shape(op)),
                large(op_madds),
                large(op_params),
                "–" if ms is None else milliseconds(ms),
                "–" if ms is None or not total_ms else percent(ms / total_ms),
            ]
        )
    head = ["place", "operation", "shape", "multiply-adds", "parameters", "predicted", "share"]
    return table(head, rows, align="lllrrrr")


def latency_section(latency: LatencyContent) -> Html:
    """Predicted against measured, and on what device."""
    parts = [lead(_latency_lead(latency))]
    known: dict[str, object] = {"predicted": milliseconds(latency.predicted_ms)}
    if latency.low_ms is not None and latency.high_ms is not None:
        known["90 % interval"] = f"{milliseconds(latency.low_ms)} to {milliseconds(latency.high_ms)}"
    if latency.measured_ms is not None:
        known["measured (median)"] = milliseconds(latency.measured_ms)
    if latency.measured_p10_ms is not None and latency.measured_p90_ms is not None:
        known["10th to 90th percentile"] = (
            f"{milliseconds(latency.measured_p10_ms)} to {milliseconds(latency.measured_p90_ms)}"
        )
    aside = Html(f'<div class="aside">{facts(known)}{facts({"device": latency.device, **latency.fields})}</div>')
    if not latency.networks and latency.measured_ms is None:
        return join([*parts, aside])
    drawn = card(
        "Predicted against measured",
        "On the dashed line the prediction is exact; above it the network was slower than predicted.",
        chart(latency_figure(latency), "chart-latency", height_px=430, description=_latency_lead(latency)),
    )
    parts.append(Html(f'<div class="pair wide">{drawn}{aside}</div>'))
    if latency.networks:
        pairs = [(n.label, n.predicted_ms, n.measured_ms) for n in latency.networks]
        rows = [[name, milliseconds(p), milliseconds(m), compared(p, m)] for name, p, m in pairs]
        head = ["network", "predicted", "measured", "the prediction is"]
        parts.append(details(f"All {len(rows)} networks, as a table", table(head, rows, align="lrrr")))
    return join(parts)


def _latency_lead(latency: LatencyContent) -> str:
    text = f"The winner was predicted to take {milliseconds(latency.predicted_ms)}"
    if latency.measured_ms is None:
        text += "; it wasn't measured."
    else:
        difference = compared(latency.predicted_ms, latency.measured_ms)
        text += f" and takes {milliseconds(latency.measured_ms)}: the prediction is {difference}."
    if latency.networks:
        errors = np.array([n.predicted_ms / n.measured_ms - 1 for n in latency.networks])
        mean = float(np.abs(errors).mean())
        whose = "the predictor was fitted on" if latency.fitted else "the predictor had not seen"
        text += f" On {len(errors)} whole networks that {whose}, its mean absolute error is {percent(mean)}."
    return text
