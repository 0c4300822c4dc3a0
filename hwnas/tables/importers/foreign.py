"""What other people's tables say, kept as it was said: entries, their unit and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hwnas.errors import TableError, counted
from hwnas.files import validated
from hwnas.graph.graph import Op
from hwnas.ops.foreign import ForeignOp
from hwnas.tables.device import NOT_SAID, Device
from hwnas.tables.protocol import Provenance
from hwnas.tables.table import Latency, LatencyTable

Format = Literal["ofa", "proxylessnas", "csv"]
Unit = Literal["s", "ms", "us"]

MS_PER: Mapping[Unit, float] = {"s": 1e3, "ms": 1.0, "us": 1e-3}
"""Milliseconds in one of each unit that tables come in."""

Z_90 = 1.2815515594  # standard normal, 90th percentile


@dataclass(frozen=True)
class ForeignEntry:
    """One line of a foreign table.

    Attributes:
        text: the key or line as it stands in the file; unique in a table.
        op: the operation as hwnas has it; a :class:`ForeignOp` if of a kind that hwnas hasn't.
        mean_ms: mean latency.
        spread_ms: standard deviation of one run; None when the file doesn't say.
        count: runs behind the mean; None when the file doesn't say.
    """

    text: str
    op: Op
    mean_ms: float
    spread_ms: float | None
    count: int | None


@dataclass(frozen=True, kw_only=True)
class ForeignTable:
    """A table that somebody else measured.

    Attributes:
        unit: that the file's numbers are in; entries are in milliseconds.
        device: as whoever imports it names it; these formats don't say.
        assumed: what isn't in the file and was taken for granted, in sentences.
    """

    source: str
    sha256: str
    format: Format
    unit: Unit
    device: str = NOT_SAID
    assumed: str
    entries: tuple[ForeignEntry, ...]


def to_latency_table(table: ForeignTable) -> LatencyTable:
    """The same as a table of hwnas, whose provenance says what had to be assumed.

    Raises:
        TableError: a latency or the device's name is beyond what a table can hold; names the entry.
    """
    device = dict.fromkeys(("os", "runtime", "runtime_version", "precision", "clocks"), NOT_SAID)
    counts = {"cores": 1, "threads": 1, "batch": 1}
    return LatencyTable(
        device=validated(Device, {"hardware": table.device, **device, **counts}, "the device's name", TableError),
        provenance=Provenance(
            file=table.source, sha256=table.sha256, format=table.format, unit=table.unit, note=_note(table)
        ),
        ops={entry.op: _latency(entry, table.source) for entry in table.entries},
    )


def _latency(entry: ForeignEntry, source: str) -> Latency:
    half_ms = Z_90 * (entry.spread_ms or 0.0)
    statistics = {
        "p50_ms": entry.mean_ms,
        "p10_ms": max(entry.mean_ms - half_ms, entry.mean_ms * 1e-3),  # a wide spread mustn't make it negative
        "p90_ms": entry.mean_ms + half_ms,
        "count": entry.count or 1,
    }
    return validated(Latency, statistics, f"{source}: {entry.text:.200}", TableError)


def _note(table: ForeignTable) -> str:
    entries = table.entries
    notes = [
        "The file doesn't say processors, threads and batch: 1 is put down for each.",
        "p50 is the file's mean, p10 and p90 are derived from mean ± standard deviation (normal distribution).",
        table.assumed,
    ]
    if silent := sum(entry.spread_ms is None for entry in entries):
        notes.append(f"No spread is given for {counted(silent, 'entry')}: their p10 and p90 are the mean.")
    if silent := sum(entry.count is None for entry in entries):
        notes.append(f"No number of runs is given for {counted(silent, 'entry')}: 1 is put down.")
    if foreign := sum(isinstance(entry.op, ForeignOp) for entry in entries):
        notes.append(f"Of kinds that hwnas hasn't, and kept as kind foreign: {counted(foreign, 'entry')}.")
    return " ".join(note for note in notes if note)
