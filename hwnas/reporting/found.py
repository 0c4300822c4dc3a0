"""The sections on the winner and its latency."""

from __future__ import annotations

import numpy as np

from hwnas.graph.count import cost
from hwnas.reporting.charts import latency_figure
from hwnas.reporting.content import LatencyContent, WinnerContent
from hwnas.reporting.embed import chart
from hwnas.reporting.headline import compared
from hwnas.reporting.markup import Html, card, code, details, facts, join, lead, table
from hwnas.reporting.network import draw_network, shape
from hwnas.reporting.units import large, milliseconds, percent


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
