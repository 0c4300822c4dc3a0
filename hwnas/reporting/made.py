"""The sections on how it was made: training, the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hwnas.errors import counted
from hwnas.records.demo import Step
from hwnas.records.train import LogLine
from hwnas.reporting import charts
from hwnas.reporting.charts import AMBER, BLUE, GREY, SCARLET, TEAL, VIOLET, label
from hwnas.reporting.markup import Html, card, details, escape, facts, lead, side_by_side
from hwnas.reporting.units import number, percent, seconds, words
from hwnas.reporting.views import NextStep, Training


def training_section(runs: tuple[Training, ...]) -> Html:
    """For each run its curves, its last row, its rows and its configuration."""
    return side_by_side([_run(index, run) for index, run in enumerate(runs)])


def _run(index: int, run: Training) -> Html:
    note, parts, rows = "No epoch was logged.", [], [_logged_numbers(line, run.classes) for line in run.log]
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = f"Training of {run.name}: losses and accuracies over {counted(len(rows), 'epoch')}"
        figure = training_figure(names, rows)
        parts.append(charts.element(figure, f"chart-training-{index}", height_px=360, description=text))
        cells = [[_logged(name, row[name]) if name in row else "–" for name in names] for row in rows]
        summary = f"All {counted(len(rows), 'epoch')}, as a table"
        parts.append(details(summary, [*map(words, names)], cells, align="r" * len(names)))
        drawn = [(name, value) for name, value in rows[-1].items() if "loss" in name or "accuracy" in name]
        last = ", ".join(f"{words(name)} {_logged(name, value)}" for name, value in drawn)
        note = f"{counted(len(rows), 'epoch')}; at the end {last}."
    if run.config:
        parts.append(details("Configuration", ["setting", "value"], _flat(run.config), align="ll"))
    return card(run.name, note, *parts)


def training_figure(names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> go.Figure:
    """Losses above, accuracies below, over the epochs."""
    panels = [group for word in ("loss", "accuracy") if (group := [name for name in names if word in name])]
    figure = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.07)
    figure.update_layout(template=charts.TEMPLATE)
    for row, group in enumerate(panels, start=1):
        accuracy = "accuracy" in group[0]
        colors = iter((BLUE, TEAL, VIOLET, AMBER) if accuracy else (SCARLET, AMBER, VIOLET, TEAL))
        for name in group:
            logged = [entry for entry in rows if name in entry]
            y = np.array([entry[name] for entry in logged], dtype=float) * (100 if accuracy else 1)
            value = "%{y:.2f} %" if accuracy else "%{y:.4g}"
            figure.add_scatter(
                x=[entry.get("epoch", index) for index, entry in enumerate(logged, start=1)],
                y=y,
                row=row,
                col=1,
                name=label(words(name)),
                mode="lines+markers" if len(logged) < 40 else "lines",
                line={"color": next(colors, GREY), "width": 2},
                marker={"size": 5},
                hovertemplate=f"epoch %{{x}}: {label(words(name))} {value}<extra></extra>",
            )
        figure.update_yaxes(title="accuracy (%)" if accuracy else "loss", row=row)
    figure.update_xaxes(title="epoch", row=len(panels))
    return figure


def _logged_numbers(line: LogLine, classes: int | None) -> dict[str, float]:
    """An epoch's numbers by name; those with ``loss`` or ``accuracy`` in it are drawn, accuracies being fractions."""
    numbers = {key: value for key, value in line.plain().items() if isinstance(value, int | float)}
    if line.accuracy:
        numbers["validation accuracy"] = sum(line.accuracy.values()) / len(line.accuracy)
    found = line.validation or {}  # of one network: the rest of what it was measured by
    known = {"top_k": f"top-{found.get('k', 0):g} accuracy", "balanced": "balanced accuracy"}
    left_out = {"top1", "k"} if "top_k" in found else set()
    if classes is not None and found.get("k", 0) >= classes:
        left_out.add("top_k")  # always 1
    return numbers | {known.get(key, f"validation {key}"): found[key] for key in found if key not in left_out}


def _logged(name: str, value: float) -> str:
    return percent(value) if "accuracy" in name else seconds(value) if name == "seconds" else number(value)


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def how_section(steps: tuple[Step, ...]) -> Html:
    """Each step with the command for it."""
    total = seconds(sum(step.seconds for step in steps))
    items = [
        f'<li><h3>{escape(step.name)} <span class="time">{seconds(step.seconds)}</span></h3>'
        f'<pre tabindex="0"><code>{escape(step.command)}</code></pre>{facts(step.facts) if step.facts else ""}</li>'
        for step in steps
    ]
    explained = lead(f"Every step with the command for it; {total} altogether.")
    return Html(f'{explained}<ol class="steps">{"".join(items)}</ol>')


def next_section(steps: tuple[NextStep, ...]) -> Html:
    """What is worth doing with what is there."""
    items = [
        f'<li><p>{escape(step.why)}</p><pre tabindex="0"><code>{escape(step.command)}</code></pre></li>'
        for step in steps
    ]
    return Html(f'<ul class="next">{"".join(items)}</ul>')
