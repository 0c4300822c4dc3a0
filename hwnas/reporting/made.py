"""The sections on how it was made: training, the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwnas.reporting.charts import training_figure
from hwnas.reporting.content import StepContent, TrainingContent
from hwnas.reporting.embed import chart
from hwnas.reporting.markup import Html, card, details, escape, facts, join, lead, side_by_side, table
from hwnas.reporting.units import number, percent, seconds, words


def training_section(runs: tuple[TrainingContent, ...]) -> Html:
    """For each run its curves, its last row, its rows and its configuration."""
    return side_by_side([_run(index, run) for index, run in enumerate(runs)])


def _run(index: int, run: TrainingContent) -> Html:
    parts = []
    figure = training_figure(run)
    if figure is not None:
        text = f"Training of {run.name}: losses and accuracies over {len(run.rows)} epochs"
        parts.append(chart(figure, f"chart-training-{index}", height_px=360, description=text))
    note = "No epoch was logged."
    if run.rows:
        names = list(dict.fromkeys(name for row in run.rows for name in row))
        cells = [[_logged(name, row[name]) if name in row else "–" for name in names] for row in run.rows]
        log = table([words(name) for name in names], cells, align="r" * len(names))
        parts.append(details(f"All {len(run.rows)} epochs, as a table", log))
        drawn = [(name, value) for name, value in run.rows[-1].items() if "loss" in name or "accuracy" in name]
        last = ", ".join(f"{words(name)} {_logged(name, value)}" for name, value in drawn)
        note = f"{len(run.rows)} epochs{'; at the end ' if last else ''}{last}."
    if run.config:
        parts.append(details("Configuration", table(["setting", "value"], _flat(run.config), align="ll")))
    return card(run.name, note, join(parts))


def _logged(name: str, value: float) -> str:
    return percent(value) if "accuracy" in name else seconds(value) if name == "seconds" else number(value)


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def how_section(steps: tuple[StepContent, ...]) -> Html:
    """Each step with the command that makes it again."""
    total = seconds(sum(step.seconds for step in steps))
    items = []
    for step in steps:
        known = facts(step.facts) if step.facts else ""
        items.append(
            f'<li><h3>{escape(step.name)} <span class="time">{seconds(step.seconds)}</span></h3>'
            f'<pre tabindex="0"><code>{escape(step.command)}</code></pre>{known}</li>'
        )
    return Html(
        lead(f"Every step and the command that repeats it; {total} altogether.")
        + f'<ol class="steps">{"".join(items)}</ol>'
    )
