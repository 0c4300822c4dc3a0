"""The numbers that a reader wants first, as big tiles."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.reporting.content import LatencyContent, ReportContent
from hwnas.reporting.markup import Html, code, join, tile
from hwnas.reporting.units import bytes_, large, milliseconds, number, percent


def headline(content: ReportContent) -> Html:
    """One tile for each of accuracy, latency, multiply-adds, parameters and size that is known."""
    tiles = join(_tiles(content))
    if not tiles:
        return Html("")
    chosen = ""
    if content.winner:
        chosen = f'<p class="chosen">Chosen architecture: {code(str(content.winner.arch))}</p>'
    return Html(f'<section aria-label="Headline numbers"><div class="tiles">{tiles}</div>{chosen}</section>')


def _tiles(content: ReportContent) -> Iterator[Html]:
    winner, artifact = content.winner, content.artifact
    if winner and winner.accuracies:
        *others, (measured_on, accuracy) = winner.accuracies.items()
        yield tile("accuracy", percent(accuracy), measured_on, *(f"{name} {percent(a)}" for name, a in others))
    if content.latency:
        yield _latency_tile(content.latency, _latency_budget_ms(content))
    if winner:
        exactly = f"{number(winner.madds)} per image"
        yield tile("multiply-adds", large(winner.madds), exactly, "1 multiply-add = 2 FLOPs")
        yield tile("parameters", large(winner.params), number(winner.params))
    if artifact and artifact.files:
        first, *rest = artifact.files
        more = f"{len(rest)} more file{'s' if len(rest) > 1 else ''}, {bytes_(sum(f.bytes for f in rest))}"
        yield tile("size", bytes_(first.bytes), f"{first.path}, {first.precision}", *([more] if rest else []))


def _latency_tile(latency: LatencyContent, budget_ms: float | None) -> Html:
    notes = [] if budget_ms is None else [f"budget {milliseconds(budget_ms)}"]
    if latency.low_ms is not None and latency.high_ms is not None:
        notes.append(f"90 % interval {milliseconds(latency.low_ms)} to {milliseconds(latency.high_ms)}")
    predicted = f"predicted {milliseconds(latency.predicted_ms)}"
    if latency.measured_ms is None:
        return tile("latency, predicted", milliseconds(latency.predicted_ms), "not measured", *notes)
    predicted += f", {compared(latency.predicted_ms, latency.measured_ms)}"
    return tile("latency, measured", milliseconds(latency.measured_ms), predicted, *notes)


def compared(value: float, reference: float) -> str:
    """How far ``value`` is from ``reference``, in words."""
    part = value / reference - 1
    return f"{abs(part):.1%} {'more' if part >= 0 else 'less'}".replace("%", "\N{NO-BREAK SPACE}%")


def _latency_budget_ms(content: ReportContent) -> float | None:
    """The budget on the first device, which is the one whose latency is told."""
    latencies = (
        [objective.name for objective in content.search.objectives if objective.unit == "ms"] if content.search else []
    )
    return content.search.budgets.get(latencies[0]) if content.search and latencies else None
