"""Latency tables: taken in from elsewhere, held against measurements, compared."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from hwnas.errors import ConfigError, KitError, TableError, whole
from hwnas.files import MOST_BYTES, plain_file, refuse_existing, write_atomic
from hwnas.flow.open import KernelTableLike, of_file, open_known, open_table
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.prediction.diff import TableDiff, diff
from hwnas.prediction.kernel_calibration import calibrated
from hwnas.prediction.plausible import check_speed, check_unit, odd_entries, speed
from hwnas.prediction.validate import Validation, validate, validate_held_out
from hwnas.profiling.local import another_device, check_threads, conditions_of
from hwnas.profiling.returned import Returned, read_result
from hwnas.profiling.run import RESULT_SCHEMA
from hwnas.progress import Progress, Tell, say, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.importers.foreign import Format, Unit, to_latency_table
from hwnas.tables.importers.read import import_foreign
from hwnas.tables.itself import check_itself
from hwnas.tables.kernel_table import KernelTable
from hwnas.tables.table import LatencyTable


def import_table(
    file: Path | str,
    output: Path | str | None = None,
    *,
    form: Format | None = None,
    unit: Unit | None = None,
    device: str | None = None,
    known: KernelTableLike | Sequence[KernelTableLike] | None = None,
    tell: Tell = silent,
) -> LatencyTable | KernelTable:
    """What was measured elsewhere, by a kit or by another tool, checked; of a kit of models a table of kernels.

    Args:
        file: a kit's result, or another tool's table.
        output: a file to write the table to, YAML, or JSON of kernels.
        form: format of another tool's table; found out if not given.
        unit: of another tool's times.
        device: what another tool measured on, in words.
        known: tables that a kit of models was made beside.
        tell: is told what is odd and does no harm.

    Raises:
        KitError: the result is damaged, or isn't what its kit asks for.
        TableError: a table can't be read, or no device is as fast, or as slow, as the numbers say; or a known table is
            of another device.
        ConfigError: a format, unit or device was given for a kit's result, which says that itself, or a known table for
            anything else.
        OutputError: the output exists already or can't be written.
    """
    path = Path(file)
    if output is not None:
        refuse_existing(Path(output))
    if _is_result(path):
        if given := [name for name, value in (("format", form), ("unit", unit), ("device", device)) if value]:
            raise ConfigError(f"{path} is a kit's result, which says that itself; leave out --{given[0]}")
        table = of_result(read_result(path, open_known(known)), path, tell)
    else:
        if known:
            raise ConfigError(f"{path} isn't a kit's result; leave out the table to measure it --with")
        foreign = import_foreign(path, form, unit, device)
        if implied := check_unit(foreign, insisted=unit is not None):
            tell(f"{speed(foreign.unit, implied)}; does that fit it?")
        table = to_latency_table(foreign)
        for remark in odd_entries(table):
            tell(f"{path}: {remark}")
    if output is not None:
        table.save(output)
    return table


def of_result(returned: Returned, where: Path | str, tell: Tell) -> LatencyTable | KernelTable:
    """The table of a kit's result, calibrated; ``where`` it came from is for messages.

    Raises:
        TableError: no device is as fast, or as slow, as its numbers say, or they contradict one another.
    """
    check_speed(returned.table, where)
    for remark in returned.remarks:
        tell(f"{where}: {remark}")
    if isinstance(returned.table, KernelTable):
        return calibrated(returned.table)
    table = calibrate_if_enough(returned.table, returned.table.get_space())
    check_itself(table, where)  # else what is written couldn't be read
    return table


def _is_result(file: Path) -> bool:
    """A result is JSON; so may another tool's table be, but that has no schema of hwnas."""
    with open(plain_file(file, TableError), "rb") as opened:
        content = opened.read(MOST_BYTES).removeprefix(codecs.BOM_UTF8)
    if content.startswith(b"PK"):
        raise KitError(f"{file} is a kit; on the device, python {file.name} -o RESULT measures: import that RESULT")
    if content.startswith(b"schema: hwnas-"):
        raise TableError(f"{file} is a file of hwnas already; a table is used as it is")
    return content.lstrip().startswith(b"{") and RESULT_SCHEMA.partition("/")[0].encode() in content


def validate_table(
    table: LatencyTable | Path | str,
    *,
    networks: int = 30,
    held_out: bool = False,
    seed: int = 1,
    plot: Path | str | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Hold a table's predictions against whole networks that its calibration has never seen.

    Args:
        table: a table or its file.
        networks: how many random ones to measure on this machine, twice each.
        held_out: measure nothing: use the networks that the table holds for this.
        seed: of networks, inputs and orders.
        plot: an .html file to draw predicted against measured on.
        progress: called while it works.

    Raises:
        TableError: the table covers no space, or has too few networks.
        ModelError: the runtime can't run a network.
        OutputError: the plot exists already or can't be written.
    """
    from hwnas.reporting.validation import render_validation

    if plot is not None:
        refuse_existing(Path(plot))
    seed, loaded = whole("seed", seed), open_table(table)
    name = "the table" if isinstance(table, LatencyTable) else str(table)
    with of_file(name):
        space = loaded.get_space()
    if held_out:
        with of_file(name):
            found = validate_held_out(loaded, space)
    else:
        asked = loaded.device.conditions
        with of_file(f"{name}: device"):
            runtime = get_runtime(asked.runtime, asked.options)
            conditions_of(runtime, threads=asked.threads, precision=asked.precision, batch=asked.batch)
            check_threads(asked.threads)
        if other := another_device(loaded, runtime):
            say(f"{name}: {other}; so what follows compares two devices")
        found = validate(loaded, space, runtime, networks=networks, seed=seed, progress=progress)
    if plot is not None:
        write_atomic(Path(plot), render_validation(found, loaded))
    return found


def diff_tables(
    a: LatencyTable | Path | str, b: LatencyTable | Path | str, *, archs: int = 1000, seed: int = 0
) -> TableDiff:
    """What two tables, or their files, disagree about; see :func:`hwnas.prediction.diff.diff`."""
    return diff(open_table(a), open_table(b), archs=archs, seed=seed)
