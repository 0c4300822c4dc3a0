"""The section on what is shipped: the files, the same as the network or not, worth it or not, how fast where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter

from hwnas.records.artifact import ArtifactRecord, ExportedFile
from hwnas.records.bench import BenchRecord, BenchRow
from hwnas.reporting.markup import Html, code, escape, join, lead, table
from hwnas.reporting.units import bytes_, milliseconds, number, percent

_UNKNOWN = "–"
_CELL = attrgetter("target", "runtime", "threads", "batch")


def artifact_section(artifact: ArtifactRecord, bench: BenchRecord | None, folder_bytes: int | None = None) -> Html:
    """The files, how exactly they do what the network does, and how fast they are here."""
    whole = f" The folder is {bytes_(folder_bytes)} in all." if folder_bytes else ""
    parts = [
        lead(f"The files to ship. The hashes say whether a copy is the one that was checked here.{whole}"),
        _titled("Files", _files(artifact)),
    ]
    if artifact.files:
        parts.append(_titled("The same as the trained network", _parity(artifact.files)))
    if any(file.lacks or file.fp32_ms for file in artifact.files):
        parts.append(_titled("Beside the fp32 that it replaces, when it was exported", _worth(artifact.files)))
    files = {file.target: file.file for file in artifact.files}
    if bench and any(row.target in files for row in bench.results):
        parts.append(_titled("Latency here", _bench(bench, files)))
    return join(*parts)


def _titled(title: str, content: Html) -> Html:
    return Html(f'<div class="card"><h3>{escape(title)}</h3>{content}</div>')


def _strong(word: str, kind: str = "good") -> Html:
    return Html(f'<b class="{kind}">{word}</b>')


def _known(say: Callable[[float], str], value: float | None) -> str:
    return _UNKNOWN if value is None else say(value)


def _files(artifact: ArtifactRecord) -> Html:
    head = ["file", "size", "memory", "precision", "layers compute in", "SHA-256"]
    rows = []
    for file in artifact.files:
        layers = ", ".join(f"{count} {name}" for name, count in file.precisions.items()) or _UNKNOWN
        sizes = bytes_(file.bytes), _known(_megabytes, file.memory_mb)
        rows.append([code(file.file), *sizes, file.settings.precision, layers, code(artifact.sha256[file.file])])
        rows += [[code(name), "counted above", "", "", "", code(artifact.sha256[name])] for name in file.files[1:]]
    return table(head, rows, align="lrrlll")


def _parity(files: Sequence[ExportedFile]) -> Html:
    labelled = any(file.accuracy_after is not None for file in files)
    rows = []
    for file in files:
        parity, tolerance = file.parity, file.settings.tolerance.relative
        same = _known(percent, parity.top1_agreement)
        errors = f"{parity.max_relative:.2g}", f"{tolerance:.2g}", same, f"{parity.images:,}"
        accuracies = [_known(percent, accuracy) for accuracy in (file.accuracy_before, file.accuracy_after)]
        kept = _strong("yes") if parity.max_relative <= tolerance else _strong("no", "bad")
        rows.append([code(file.file), *errors, *(accuracies if labelled else []), kept])
    head = ["file", "largest error, relative", "tolerance", "same answer", "inputs"]
    head += [*(["accuracy before", "after"] if labelled else []), "tolerance kept"]
    return table(head, rows, align="lrrrr" + "rr" * labelled + "l")


def _worth(files: Iterable[ExportedFile]) -> Html:
    rows = []
    for file in files:
        times_ms = file.latency.p50_ms if file.latency else None, file.fp32_ms
        rows.append([code(file.file), *(_known(milliseconds, ms) for ms in times_ms), _verdict(file)])
    return table(["file", "median", "fp32's", "worth it there"], rows, align="lrrl")


def _verdict(file: ExportedFile) -> str:
    if file.lacks:
        return f"not run: {file.lacks}"
    if file.latency is None or file.fp32_ms is None:
        return _UNKNOWN
    if file.settings.precision == "fp32":
        return "is fp32"
    worth = _strong("pointless", "bad") if file.pointless else _strong("yes")
    return Html(f"{worth} {number(file.fp32_ms / file.latency.p50_ms)} × as fast")


def _bench(bench: BenchRecord, files: Mapping[str, str]) -> Html:
    timed = [row for row in bench.results if row.target in files]
    fastest = set(map(_CELL, bench.fastest))
    longest_ms = max(row.p90_ms for row in timed)
    rows = []
    for row in timed:
        times = milliseconds(row.p50_ms), milliseconds(row.p90_ms), _range(row, longest_ms), number(row.images_per_s)
        best = _strong("fastest") if _CELL(row) in fastest else ""
        memory = _known(_megabytes, row.memory_mb)
        rows.append([code(files[row.target]), row.runtime, row.batch, row.threads, *times, memory, best])
    head = ["file", "runtime", "batch", "threads", "median", "p90", "p10 to p90, median", "images/s", "memory", ""]
    return table(head, rows, align="llrrrrlrrl")


def _megabytes(mb: float) -> str:
    return bytes_(round(mb * 1e6))


def _range(row: BenchRow, longest_ms: float) -> Html:
    """A tiny drawing: a line from the 10th to the 90th percentile, a dot at the median, from 0 to the longest."""
    low, middle, high = (4 + 152 * ms / longest_ms for ms in (row.p10_ms, row.p50_ms, row.p90_ms))
    return Html(
        '<svg class="range" width="160" height="14" aria-hidden="true">'
        '<line class="baseline" x1="4" x2="156" y1="7" y2="7"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/>'
        f'<circle class="median" cx="{middle:.1f}" cy="7" r="4"/></svg>'
    )
