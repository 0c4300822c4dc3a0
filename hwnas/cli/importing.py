"""``hwnas table import``: what a kit measured elsewhere, or what another tool did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hwnas.cli import profiling
from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result, say
from hwnas.errors import ConfigError, TableError
from hwnas.files import refuse_existing

if TYPE_CHECKING:
    from hwnas.profiling.result import Returned
    from hwnas.tables.table import LatencyTable

Format = Literal["ofa", "proxylessnas", "csv"]
Unit = Literal["s", "ms", "us"]


def import_table(
    file: Annotated[Path, typer.Argument(help="A kit's result, or a table of another tool.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write (YAML).")],
    form: Annotated[
        Format | None, typer.Option("--format", help="Of another tool's table; found out if not given.")
    ] = None,
    unit: Annotated[Unit | None, typer.Option("--unit", help="Of another tool's times.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="What another tool measured on, in words.")] = None,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check what was measured elsewhere, by a kit or by another tool, and write it as a table."""
    refuse_existing(output)
    if _is_result(file):
        from hwnas.profiling.result import read_result

        if given := [name for name, value in (("format", form), ("unit", unit), ("device", device)) if value]:
            raise ConfigError(f"{file} is a kit's result, which says that itself; leave out --{given[0]}")
        table = taken_in(read_result(file), file)
        result, lines = profiling.summary(table, output)
    else:
        table = _foreign(file, form, unit, device)
        result, lines = _summary(table, output)
    table.save(output)
    print_result(result, as_json, *lines)


def taken_in(returned: Returned, where: Path | str) -> LatencyTable:
    """The table of a kit's result, calibrated.

    Raises:
        TableError: no device is as fast, or as slow, as its numbers say.
    """
    from hwnas.prediction.plausible import check_speed

    check_speed(returned.table, where)
    for remark in returned.remarks:
        say(f"{where}: {remark}")
    return profiling.finished(returned.table, returned.space)


def _is_result(file: Path) -> bool:
    """Other tools' tables are CSV or YAML; a result is JSON."""
    try:
        with open(file, "rb") as opened:
            return opened.read(64).lstrip().startswith(b"{")
    except OSError as problem:
        raise TableError(f"can't read {file}: {problem.strerror}") from None


def _foreign(file: Path, form: Format | None, unit: Unit | None, device: str | None) -> LatencyTable:
    from hwnas.prediction.plausible import check_unit
    from hwnas.tables.foreign import to_latency_table
    from hwnas.tables.importers import import_foreign

    foreign = import_foreign(file, form, unit, device)
    madds_per_s = check_unit(foreign, insisted=unit is not None)
    if madds_per_s:
        say(f"in {foreign.unit} its ops do {madds_per_s:.2g} multiply-adds a second (median); does that fit it?")
    return to_latency_table(foreign)


def _summary(table: LatencyTable, output: Path) -> tuple[dict[str, Any], list[str]]:
    assert table.provenance is not None
    result = {"ops": len(table.ops), "table": str(output), "device": table.device.model_dump(),
              "provenance": table.provenance.model_dump()}  # fmt: skip
    return result, [f"{len(table.ops)} ops; {table.provenance}", f"table: {output}"]
