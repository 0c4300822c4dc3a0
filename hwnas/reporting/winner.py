"""The section on the winner."""

from __future__ import annotations

from hwnas.graph.count import cost
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, table
from hwnas.reporting.network_drawing import draw_network, shape
from hwnas.reporting.units import large, milliseconds, percent
from hwnas.reporting.views import Winner


def winner_section(winner: Winner) -> Html:
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


def _layer_table(winner: Winner) -> Html:
    total_ms = sum(winner.predicted_ms.values())
    rows = []
    for place, op in winner.walk:
        op_madds, op_params, *_ = cost(op)
        ms = winner.predicted_ms.get(place)
        rows.append(
            [
                place,
                op.label,
                " → ".join(shape(op)),
                large(op_madds),
                large(op_params),
                "–" if ms is None else milliseconds(ms),
                "–" if ms is None or not total_ms else percent(ms / total_ms),
            ]
        )
    head = ["place", "operation", "shape", "multiply-adds", "parameters", "predicted", "share"]
    return table(head, rows, align="lllrrrr")
