"""Per-op CSV: any table of operations, after its columns are named as here.

One operation a line; the first line names the columns::

    kind,c_in,h_in,w_in,c_out,kernel,stride,expansion,se,act,latency_ms,std_ms,count
    mbconv,16,112,112,24,3,2,6,false,relu6,6.24,0.27,164
    pooling,1152,7,7,1152,,,,,,0.015,,495

- ``kind`` is one of hwnas's op kinds, with that kind's fields in columns of the same names, or any other word;
- ``c_in``, ``h_in``, ``w_in``, ``c_out`` are needed: channels and pixels of the input, channels of the output;
- ``latency`` (needed) is the mean, ``std`` the standard deviation of one run; ``_s``, ``_ms`` or ``_us`` behind
  both says the unit;
- ``count`` is the number of runs;
- every other column says something more about the operation. An empty cell says nothing.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from hwnas.errors import SpaceError, TableError
from hwnas.files import read_text
from hwnas.graph.graph import Op
from hwnas.ops.block import Block
from hwnas.ops.foreign import ForeignOp
from hwnas.tables.importers.foreign import MS_PER, ForeignEntry, Unit


def read_csv(path: Path, unit: Unit | None) -> tuple[Unit, tuple[ForeignEntry, ...]]:
    """The entries of such a file in its order, and the unit that it has them in.

    Args:
        path: the file.
        unit: of its latencies; None when the column's name says it.

    Raises:
        TableError: the file can't be read; a column is missing or there twice; no unit is said, or two different ones;
            a line has too many or too few cells, a latency that isn't a positive number, or fields that its kind of
            op hasn't; an operation is there twice. File and line are named.
    """
    lines = _lines(path)
    header = next(lines, (0, []))[1]
    if twice := [column for column in header if header.count(column) > 1]:
        raise TableError(f"{path}: the column {twice[0]!r:.80} is there twice; remove one")
    if "kind" not in header:
        raise TableError(f"{path}: no column 'kind' in its first line; expected kind,c_in,h_in,w_in,c_out,…,latency_ms")
    suffix, unit = _unit(path, header, unit)
    spreads = {"std", *(f"std_{each}" for each in MS_PER)} & set(header)
    if odd := spreads - {f"std{suffix}"}:
        raise TableError(f"{path}: its columns are latency{suffix} and {min(odd)}; give both in one unit, std{suffix}")
    entries: dict[str, ForeignEntry] = {}
    for number, cells in lines:
        if len(cells) != len(header):
            raise TableError(f"{path}: line {number} has {len(cells)} cells, the first line {len(header)}")
        row = {column: cell.strip() for column, cell in zip(header, cells, strict=True) if cell.strip()}
        try:
            entry = _entry(row, suffix, MS_PER[unit])
        except (ValueError, SpaceError) as problem:
            raise TableError(f"{path}: line {number}: {problem}") from None
        if entry.text in entries:
            raise TableError(f"{path}: line {number}: a second entry for {entry.text:.200}; remove one")
        entries[entry.text] = entry
    if not entries:
        raise TableError(f"{path} has no operations; a per-op CSV has one in each line after the first")
    return unit, tuple(entries.values())


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of the lines that aren't empty."""
    reader = csv.reader(io.StringIO(read_text(path, TableError), newline=""), strict=True)
    try:
        yield from ((reader.line_num, cells) for cells in reader if cells)
    except csv.Error as problem:
        raise TableError(f"{path} isn't a CSV file: {problem}") from None


def _unit(path: Path, header: list[str], asked: Unit | None) -> tuple[str, Unit]:
    """What stands behind ``latency`` in its column's name, and the unit that holds."""
    said: dict[str, Unit | None] = {"": None, **{f"_{unit}": unit for unit in MS_PER}}
    found = [suffix for suffix in said if f"latency{suffix}" in header]
    if len(found) != 1:
        raise TableError(f"{path}: expected one column latency, latency_s, latency_ms or latency_us, got {len(found)}")
    suffix = found[0]
    unit = said[suffix] or asked
    if unit is None:
        raise TableError(f"{path}: nothing says the unit of its latencies; name the column latency_ms, or give a unit")
    if asked not in (None, unit):
        raise TableError(
            f"{path}: its column is latency{suffix}, but the unit {asked} was given; rename the column if it is wrong"
        )
    return suffix, unit


def _entry(row: Mapping[str, str], suffix: str, ms: float) -> ForeignEntry:
    latency, std = f"latency{suffix}", f"std{suffix}"
    says = {column: cell for column, cell in row.items() if column not in ("kind", latency, std, "count")}
    kind = row.get("kind")
    if kind is None:
        raise ValueError("no kind")
    mean = _number(row.get(latency, ""), latency)
    if mean == 0:
        raise ValueError(f"{latency} must be positive, got 0")
    count = int(row["count"]) if row.get("count", "").isdecimal() else None
    if "count" in row and not count:
        raise ValueError(f"count must be a positive integer, got {row['count']!r:.80}")
    text = " ".join([kind, *(f"{name}={value}" for name, value in says.items())])
    return ForeignEntry(
        text=text,
        op=_op(kind, says, text),
        mean_ms=mean * ms,
        spread_ms=_number(row[std], std) * ms if std in row else None,
        count=count,
    )


def _op(kind: str, says: Mapping[str, str], text: str) -> Op:
    known = Op.of_kind(kind)
    cls = known if known is not None and issubclass(known, Block) else ForeignOp
    own = {field.name for field in fields(cls)}
    values = {name: _value(cell) for name, cell in says.items() if name in own}
    return Op.from_dict({"kind": cls.kind, **values, **({"text": text} if cls is ForeignOp else {})})


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{column} must be a positive number, got {text!r:.80}")
    return number


def _value(text: str) -> bool | int | float | str:
    """A cell as the fields of Ops have it."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        with suppress(ValueError, OverflowError):
            value = number(text)
            return value if math.isfinite(value) else text
    return text
