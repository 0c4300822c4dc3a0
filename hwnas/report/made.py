"""The sections on how it was made and what is shipped: training, artifact, the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwnas.report.charts import training_figure
from hwnas.report.content import ArtifactContent, BenchContent, ParityContent, StepContent, TrainingContent
from hwnas.report.embed import chart
from hwnas.report.markup import Html, card, code, details, escape, facts, join, lead, side_by_side, table
from hwnas.report.units import bytes_, milliseconds, number, percent, seconds, words


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


def artifact_section(artifact: ArtifactContent) -> Html:
    """The files, how exactly they do what the network does, and how fast they are here."""
    files = [[code(f.path), bytes_(f.bytes), f.precision, code(f.sha256)] for f in artifact.files]
    parts = [
        lead("The files to ship. The hashes say whether a copy is the one that was checked here."),
        _titled("Files", table(["file", "size", "precision", "SHA-256"], files, align="lrll")),
    ]
    if artifact.parity:
        checks = [
            [
                code(p.path),
                f"{p.max_relative_error:.2g}",
                f"{p.tolerance:.2g}",
                percent(p.top1_agreement),
                f"{p.images:,}",
                _verdict(p),
            ]
            for p in artifact.parity
        ]
        head = ["file", "largest error, relative", "tolerance", "same answer", "inputs", "tolerance kept"]
        parts.append(_titled("The same as the trained network", table(head, checks, align="lrrrrl")))
    if artifact.bench:
        longest = max(row.p90_ms for row in artifact.bench)
        rows = [
            [
                code(b.path),
                b.runtime,
                str(b.threads),
                str(b.batch),
                milliseconds(b.p50_ms),
                milliseconds(b.p10_ms),
                milliseconds(b.p90_ms),
                _range(b, longest),
            ]
            for b in artifact.bench
        ]
        head = ["file", "runtime", "threads", "batch", "median", "p10", "p90", "p10 to p90, median"]
        parts.append(_titled("Latency, one batch", table(head, rows, align="llrrrrrl")))
    return join(parts)


def _verdict(parity: ParityContent) -> Html:
    kept = parity.max_relative_error <= parity.tolerance
    return Html('<b class="good">yes</b>' if kept else '<b class="bad">no</b>')


def _titled(title: str, content: Html) -> Html:
    return Html(f'<div class="card"><h3>{escape(title)}</h3>{content}</div>')


def _range(bench: BenchContent, longest_ms: float) -> Html:
    """A tiny drawing: a line from the 10th to the 90th percentile, a dot at the median, from 0 to the longest."""
    low, middle, high = (4 + 152 * ms / longest_ms for ms in (bench.p10_ms, bench.p50_ms, bench.p90_ms))
    return Html(
        '<svg class="range" width="160" height="14" aria-hidden="true">'
        '<line class="baseline" x1="4" x2="156" y1="7" y2="7"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/>'
        f'<circle class="median" cx="{middle:.1f}" cy="7" r="4"/></svg>'
    )


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
