"""What people name, opened: wherever a space or a table is taken, its name or its file is taken as well."""

from __future__ import annotations

from pathlib import Path

from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable


def open_space(space: ChainSpace | str | Path) -> ChainSpace:
    """A space, by its name or its YAML file.

    Raises:
        SpaceError: neither.
    """
    return get_space(str(space)) if isinstance(space, str | Path) else space


def open_table(table: LatencyTable | str | Path) -> LatencyTable:
    """A table, by its YAML file.

    Raises:
        TableError: it can't be read.
    """
    return LatencyTable.load(table) if isinstance(table, str | Path) else table
