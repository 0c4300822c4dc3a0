"""What a kit sent back -> a table, once it is proven whole, and to be what the kit's plan asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, NonNegativeInt

from hwnas.arrays import Port
from hwnas.errors import KitError, SpaceError, shown
from hwnas.files import read_json
from hwnas.profiling.kernels import KernelPlan, kernel_table_of
from hwnas.profiling.kit_file import KIT_SCHEMA, canonical, seal
from hwnas.profiling.plan import Plan
from hwnas.profiling.result import Failure, Result, table_of
from hwnas.profiling.run import RESULT_SCHEMA
from hwnas.record import FileRecord, Record, ShortText, Some
from hwnas.space.registry import get_space
from hwnas.tables.kernel_table import KernelTable, check_same_device
from hwnas.tables.table import Latency, LatencyTable

_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)


class KitModel(Record):
    """A file of a kit: the model of one entry or more; see :class:`hwnas.profiling.run.Model`."""

    file: str
    sha256: str
    bytes: NonNegativeInt
    inputs: tuple[Port, ...]
    as_is: bool
    copies: Some


class KitRuntime(Record):
    """Where a kit's runtime is defined, and of which version, on what hardware, it was where the kit was built."""

    module: str
    class_: Annotated[str, Field(alias="class")]
    version: ShortText
    hardware: ShortText


class KitDescription(FileRecord):
    """What a kit says of itself, see :class:`hwnas.profiling.kit_file.KitFile`.

    Attributes:
        models: of the plan's entries, or why the runtime can't have one.
        sources: name -> SHA-256 of each file of hwnas in it.
    """

    SCHEMA = KIT_SCHEMA
    REMEDY = "build the kit again"
    ERROR = KitError

    runtime: KitRuntime
    models: tuple[KitModel | Failure, ...]
    sources: Mapping[str, str]


class SpaceKit(KitDescription):
    """What a kit of a space's ops says of itself."""

    plan: Plan


class KernelKit(KitDescription):
    """What a kit of some models' kernels says of itself."""

    plan: KernelPlan


class Returned(NamedTuple):
    """What a kit's result holds, once it is proven whole: a table, not calibrated, and which kit it is of.

    Attributes:
        remarks: what is odd and does no harm, a line each.
    """

    table: LatencyTable | KernelTable
    kit_sha256: str
    remarks: tuple[str, ...]


def read_result(path: Path, known: KernelTable | None = None) -> Returned:
    """Read what a kit wrote; ``known`` is the table that a kit of kernels was made beside.

    Raises:
        KitError: it can't be read, was cut short, damaged or edited, is of another schema, or isn't what the kit's plan
            asks for, entry by entry; or what it was made beside isn't the table that is known.
        TableError: the known table is of another device.
        ArchError: a network isn't one of the space.
    """
    data = _unsealed(path)
    description = data.pop("kit")
    kit = _described(description, f"{path}: kit")
    if isinstance(kit, KernelKit):
        table: LatencyTable | KernelTable = _kernels(kit.plan, data, path, known)
    elif known:
        raise KitError(f"{path} has ops of a space, no kernels; leave out the table of kernels")
    else:
        table = _ops(kit.plan, data, path)
    if len(kit.models) != len(entries := kit.plan.entries):
        raise KitError(f"{path}: its kit has {len(kit.models)} models for {len(entries)} entries; build it again")
    result = Result.of_plain(data, path)
    remarks = tuple(_remarks(kit, result, path))
    return Returned(table, hashlib.sha256(canonical(description)).hexdigest(), remarks)


def _unsealed(path: Path) -> dict[str, Any]:
    """A result without its seal, which fits."""
    try:
        data = read_json(path, KitError)
    except KitError as problem:
        raise KitError(f"{problem}; if it was cut short on its way, copy it again") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != RESULT_SCHEMA:
        raise KitError(
            f"{path} isn't what python KIT.pyz -o RESULT writes ({RESULT_SCHEMA}), it has schema {shown(schema)}"
        )
    result: dict[str, Any] = data
    try:
        intact = result.pop("sha256", None) == seal(result)
    except (ValueError, RecursionError):
        intact = False
    if not intact or "kit" not in result:
        raise KitError(f"{path} was edited, or damaged on its way: its SHA-256 doesn't fit; copy it again")
    return result


def _described(description: Any, where: str) -> SpaceKit | KernelKit:
    plan = description.get("plan") if isinstance(description, dict) else None
    of_kernels = isinstance(plan, dict) and "kernels" in plan
    return (KernelKit if of_kernels else SpaceKit).of_plain(description, where)


def _ops(plan: Plan, data: dict[str, Any], path: Path) -> LatencyTable:
    table = table_of(plan, data, path)
    try:
        space = get_space(plan.space)
    except SpaceError as error:
        raise KitError(f"{path}: {error}") from None
    if {*table.ops, *table.failed} != set(space.distinct_ops):
        raise KitError(f"{path} was measured for another {space.source} than there is here; build the kit again")
    for network in (*plan.networks, *plan.held_out):
        space.check(network)
    return table


def _kernels(plan: KernelPlan, data: dict[str, Any], path: Path, known: KernelTable | None) -> KernelTable:
    launched = {launch.kernel for model in plan.models for launch in model.launches if launch.kernel}
    had = {*known.by_key, *known.why_failed} if known else set()
    if (plan.anchors and not known) or launched - had - {kernel.key for kernel in plan.kernels}:
        given = "another table than this" if known else "a table"
        raise KitError(f"{path} was measured beside {given}, which has what it hasn't; import it --with that table")
    table = kernel_table_of(plan, data, path, known)
    if known:
        check_same_device(known, table.device)
    return table


def _remarks(kit: SpaceKit | KernelKit, result: Result, path: Path) -> Iterator[str]:
    """Raises:
    KitError: durations contradict each other.
    """
    sum_s = sum(entry.count * entry.p50_ms for entry in result.entries if isinstance(entry, Latency)) / 1e3
    if sum_s > result.seconds + 1:
        raise KitError(
            f"{path}: its runs add up to {sum_s:.0f} s, yet all took {result.seconds:.0f} s: its clock can't "
            "be right; measure again"
        )
    started = datetime.fromisoformat(result.started)
    if not _EARLIEST < started < datetime.now(UTC) + timedelta(days=1):
        yield f"by the device's own clock it was {started:%Y-%m-%d}; durations don't depend on that"
    planned = (kit.runtime.version, kit.runtime.hardware)
    if isinstance(kit, KernelKit) and planned != (result.device.runtime_version, result.device.hardware):
        told = f"{result.device.runtime} {' makes on '.join(planned)}"
        yield f"its kernels are those that {told}; the device may make others"
