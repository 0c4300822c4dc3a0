"""The section on what is shipped: the files, the same as the network or not, worth it or not, how fast where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hwnas.records.artifact import ArtifactRecord, ExportedFile
from hwnas.records.bench import BenchRecord, BenchRow
from hwnas.reporting.markup import Html, code, escape, join, lead, table
from hwnas.reporting.units import bytes_, milliseconds, number, percent

_UNKNOWN = "–"


def artifact_section(artifact: ArtifactRecord, bench: BenchRecord | None) -> Html:
    """The files, how exactly they do what the network does, and how fast they are here."""
    parts = [
        lead("The files to ship. The hashes say whether a copy is the one that was checked here."),
        _titled("Files", _files(artifact)),
    ]
    if artifact.files:
        parts.append(_titled("The same as the trained network", _parity(artifact.files)))
    if any(file.lacks or file.fp32_ms for file in artifact.files):
        parts.append(_titled("Beside the fp32 that it replaces, when it was exported", _worth(artifact.files)))
    files = {file.target: file.file for file in artifact.files}
    if bench and any(row.target in files for row in bench.results):
        parts.append(_titled("Latency here", _bench(bench, files)))
    return join(parts)


def _titled(title: str, content: Html) -> Html:
    return Html(f'<div class="card"><h3>{escape(title)}</h3>{content}</div>')


def _files(artifact: ArtifactRecord) -> Html:
    head = ["file", "size", "memory", "precision", "layers compute in", "SHA-256"]
    rows = [
        [
            code(file.file),
            bytes_(file.bytes),
            _memory(file.memory_mb),
            file.settings.precision,
            ", ".join(f"{count} {name}" for name, count in file.precisions.items()) or _UNKNOWN,
            code(artifact.sha256[file.file]),
        ]
        for file in artifact.files
    ]
    return table(head, rows, align="lrrlll")


def _parity(files: Sequence[ExportedFile]) -> Html:
    labelled = any(file.accuracy_after is not None for file in files)
    head = ["file", "largest error, relative", "tolerance", "same answer", "inputs"]
    head += [*(["accuracy before", "after"] if labelled else []), "tolerance kept"]
    return table(head, [list(_parity_row(file, labelled)) for file in files], align="lrrrr" + "rr" * labelled + "l")


def _parity_row(file: ExportedFile, labelled: bool) -> Iterator[str]:
    parity, tolerance = file.parity, file.settings.tolerance.relative
    yield code(file.file)
    yield from (f"{parity.max_relative:.2g}", f"{tolerance:.2g}")
    yield from (percent(parity.top1_agreement), f"{parity.images:,}")
    if labelled:
        for accuracy in (file.accuracy_before, file.accuracy_after):
            yield _UNKNOWN if accuracy is None else percent(accuracy)
    yield Html('<b class="good">yes</b>' if parity.max_relative <= tolerance else '<b class="bad">no</b>')


def _worth(files: Iterable[ExportedFile]) -> Html:
    rows = [
        [code(file.file), _time(file.latency.p50_ms if file.latency else None), _time(file.fp32_ms), _verdict(file)]
        for file in files
    ]
    return table(["file", "median", "fp32's", "worth it there"], rows, align="lrrl")


def _verdict(file: ExportedFile) -> str:
    if file.lacks:
        return f"not run: {file.lacks}"
    if file.latency is None or file.fp32_ms is None:
        return _UNKNOWN
    if file.settings.precision == "fp32":
        return "is fp32"
    times = f"{number(file.fp32_ms / file.latency.p50_ms)} × as fast"
    if file.pointless:
        return Html(f'<b class="bad">pointless</b> {escape(times)}')
    return Html(f'<b class="good">yes</b> {escape(times)}')


def _bench(bench: BenchRecord, files: Mapping[str, str]) -> Html:
    rows = [row for row in bench.results if row.target in files]
    fastest = {(each.target, each.runtime, each.threads, each.batch) for each in bench.fastest}
    longest_ms = max(row.p90_ms for row in rows)
    head = ["file", "runtime", "batch", "threads", "median", "p90", "p10 to p90, median", "images/s", "memory", ""]
    cells = [
        [
            code(files[row.target]),
            row.runtime,
            str(row.batch),
            str(row.threads),
            *map(milliseconds, (row.p50_ms, row.p90_ms)),
            _range(row, longest_ms),
            number(row.images_per_s),
            _memory(row.memory_mb),
            Html('<b class="good">fastest</b>') if (row.target, row.runtime, row.threads, row.batch) in fastest else "",
        ]
        for row in rows
    ]
    return table(head, cells, align="llrrrrlrrl")


def _time(ms: float | None) -> str:
    return _UNKNOWN if ms is None else milliseconds(ms)


def _memory(mb: float | None) -> str:
    return _UNKNOWN if mb is None else bytes_(round(mb * 1e6))


def _range(row: BenchRow, longest_ms: float) -> Html:
    """A tiny drawing: a line from the 10th to the 90th percentile, a dot at the median, from 0 to the longest."""
    low, middle, high = (4 + 152 * ms / longest_ms for ms in (row.p10_ms, row.p50_ms, row.p90_ms))
    return Html(
        '<svg class="range" width="160" height="14" aria-hidden="true">'
        '<line class="baseline" x1="4" x2="156" y1="7" y2="7"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/>'
        f'<circle class="median" cx="{middle:.1f}" cy="7" r="4"/></svg>'
    )
