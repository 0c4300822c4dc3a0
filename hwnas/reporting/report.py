"""The report: its sections, and on top the numbers that a reader wants first, as big tiles."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.errors import counted
from hwnas.evaluation.interval import wilson
from hwnas.reporting.answers import answers_section
from hwnas.reporting.artifact import artifact_section
from hwnas.reporting.devices import devices_section
from hwnas.reporting.latency import latency_section
from hwnas.reporting.made import how_section, next_section, training_section
from hwnas.reporting.markup import Html, code, escape, tile, tiles
from hwnas.reporting.measured_front import measured_section
from hwnas.reporting.page import page
from hwnas.reporting.search import search_section
from hwnas.reporting.units import bytes_, compared, large, milliseconds, number, percent, span
from hwnas.reporting.views import Latency, Report
from hwnas.reporting.winner import winner_section


def render(report: Report) -> str:
    """The report as the text of one HTML file; the same report gives the same text."""
    search = report.search
    sections = {
        "search": ("The front", search and search_section(search, report.doubt)),
        "devices": ("Other devices", search and devices_section(search, report.devices)),
        "measured": ("The measured front", search and search.measured and measured_section(search, search.measured)),
        "winner": (
            "The winner" if search or not report.winner else "The network",
            report.winner and winner_section(report.winner),
        ),
        "answers": ("What it gets right", report.answers and answers_section(report.answers)),
        "latency": ("Latency", report.latency and latency_section(report.latency)),
        "training": ("Training", report.training and training_section(report.training)),
        "artifact": (
            "The artifact",
            report.artifact and artifact_section(report.artifact, report.bench, report.artifact_bytes),
        ),
        "next": ("What to do next", report.next and next_section(report.next)),
        "how": ("How it was made", report.how and how_section(report.how)),
    }
    present = {name: (title, html) for name, (title, html) in sections.items() if html}
    told = {"how"} if report.artifact else set()  # an artifact says itself what it was made from
    absent = [title.lower() for name, (title, html) in sections.items() if not html and name not in told]
    missing = f"<p>Not in this report: {', '.join(absent)}.</p>" if absent else ""
    return page(
        title=report.title,
        eyebrow="hwnas report",
        created=report.created,
        top=_headline(report),
        sections=present,
        footer=Html(f"{missing}<p>Made by hwnas {escape(report.version)}, {escape(report.created)}.</p>"),
    )


def _headline(report: Report) -> Html:
    """One tile for each of accuracy, latency, multiply-adds, parameters and size that is known."""
    several, chosen = list(_tiles(report)), ""
    if report.winner:
        chosen = f'<p class="chosen">Chosen architecture: {code(str(report.winner.arch))}</p>'
    return tiles(several, name="Headline numbers", below=chosen) if several else Html("")


def _tiles(report: Report) -> Iterator[Html]:
    winner, artifact = report.winner, report.artifact
    if winner and winner.accuracies:
        *others, (measured_on, accuracy) = winner.accuracies.items()
        notes = [measured_on, *(f"{name} {percent(value)}" for name, value in others)]
        if images := winner.accuracy_images.get(measured_on):
            low, high = wilson(accuracy, images)
            notes.insert(1, f"95 % interval {percent(low, 1)} to {percent(high, 1)}")
        yield tile("accuracy", percent(accuracy), *notes)
    if report.latency:
        yield _latency_tile(report.latency, _latency_budget_ms(report))
    if winner:
        exactly = f"{number(winner.madds)} per image"
        yield tile("multiply-adds", large(winner.madds), exactly, "1 multiply-add = 2 FLOPs")
        yield tile("parameters", large(winner.params), number(winner.params))
    if artifact and artifact.files:
        first, *rest = artifact.files
        more = f"{counted(len(rest), 'more file')}, {bytes_(sum(f.bytes for f in rest))}"
        named = f"{first.file}, {first.settings.precision}"
        yield tile("size", bytes_(first.bytes), named, *([more] if rest else []))
    elif winner and winner.weights_bytes:
        yield tile("size", bytes_(winner.weights_bytes), "weights as they were trained")


def _latency_tile(latency: Latency, budget_ms: float | None) -> Html:
    notes = [] if budget_ms is None else [f"budget {milliseconds(budget_ms)}"]
    if interval := span(latency.low_ms, latency.high_ms):
        notes.append(f"90 % interval {interval}")
    predicted = f"predicted {milliseconds(latency.predicted_ms)}"
    if latency.measured_ms is None:
        return tile("latency, predicted", milliseconds(latency.predicted_ms), "not measured", *notes)
    predicted += f", {compared(latency.predicted_ms, latency.measured_ms)}"
    return tile("latency, measured", milliseconds(latency.measured_ms), predicted, *notes)


def _latency_budget_ms(report: Report) -> float | None:
    """The budget on the first device, which is the one whose latency is told."""
    if report.search is None:
        return None
    first = next((objective.name for objective in report.search.objectives if objective.unit == "ms"), "")
    return report.search.budgets.get(first)
