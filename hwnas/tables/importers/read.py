"""Import of tables that others measured, each with its unit and where it came from."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from hwnas.errors import TableError
from hwnas.files import read_bytes
from hwnas.tables.device import NOT_SAID
from hwnas.tables.importers.blocks import ASSUMED, read_blocks, read_keys
from hwnas.tables.importers.foreign import ForeignEntry, ForeignTable, Format, Unit
from hwnas.tables.importers.ops_csv import read_csv


def import_foreign(
    path: str | Path, form: Format | None = None, unit: Unit | None = None, device: str | None = None
) -> ForeignTable:
    """Read a foreign table.

    Args:
        path: the file.
        form: whose format it has; found out from the file when None.
        unit: of its latencies; when None, what a CSV's column says, and milliseconds in the other two formats.
        device: what it was measured on, in words; none of the formats says.

    Raises:
        TableError: the file can't be read or isn't of that format; see
            :func:`hwnas.tables.importers.blocks.read_blocks` and :func:`hwnas.tables.importers.ops_csv.read_csv`.
    """
    path = Path(path)
    form = form or _format(path)
    entries: tuple[ForeignEntry, ...]
    if form == "csv":
        unit, entries = read_csv(path, unit)
    else:
        unit = unit or "ms"
        entries = read_blocks(path, form, unit)
    op, times = Counter(entry.op for entry in entries).most_common(1)[0]
    if times > 1:
        raise TableError(f"{path}: {times} entries are for {op}; leave one")
    return ForeignTable(
        source=path.name,
        sha256=hashlib.sha256(read_bytes(path, TableError)).hexdigest(),
        format=form,
        unit=unit,
        device=device or NOT_SAID,
        assumed="" if form == "csv" else ASSUMED[form],
        entries=entries,
    )


def _format(path: Path) -> Format:
    if path.suffix == ".csv":
        return "csv"
    if path.suffix in (".yaml", ".yml", ".json"):
        keys = read_keys(path)
        blocks = [key for key in keys if str(key).startswith("expanded_conv-")] if isinstance(keys, dict) else []
        if blocks:
            return "ofa" if "-se:" in blocks[0] else "proxylessnas"
        if not keys:
            raise TableError(f"{path} has no entries; make it again")
    raise TableError(f"can't tell which table's format {path} has, no kit's result; name it: ofa, proxylessnas or csv")
