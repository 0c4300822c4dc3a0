"""What a device sent back -> a `LatencyTable`, once it is proven to be what the plan asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from hwnas.arrays import Port
from hwnas.errors import KitError, SpaceError, shown
from hwnas.files import read_json
from hwnas.graph.graph import Op
from hwnas.profiling.kit_file import KIT_SCHEMA, canonical, seal
from hwnas.profiling.plan import Plan
from hwnas.profiling.run import RESULT_SCHEMA
from hwnas.profiling.timer import Effort
from hwnas.record import Factor, FileRecord, Moment, Record, ShortText, Some
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.device import Conditions, Device
from hwnas.tables.protocol import MachineState, Protocol, Share
from hwnas.tables.table import Latency, LatencyTable, MeasuredNetwork

_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)


class Failure(Record):
    """An entry that the runtime can't run."""

    failed: Annotated[str, Field(min_length=1, max_length=300)]


class MeasuredOn(Record):
    """The part of a `Device` that only the device knows."""

    hardware: ShortText
    cores: Some
    os: ShortText
    clocks: ShortText
    runtime: ShortText
    runtime_version: ShortText
    options: Mapping[str, str]


class Result(FileRecord):
    """What :func:`hwnas.profiling.run.run_plan` returns; times in milliseconds, entries in the plan's order."""

    SCHEMA = RESULT_SCHEMA
    REMEDY = "measure again"
    ERROR = KitError

    device: MeasuredOn
    python: ShortText
    started: Moment
    seconds: NonNegativeFloat
    rounds: Some
    reference: NonNegativeInt
    confidence_95: Share
    unsteadiness_90: Share
    drift: Factor
    clock_steps: NonNegativeInt
    affinity: tuple[int, ...]
    before: MachineState
    after: MachineState
    entries: tuple[Latency | Failure, ...]


class KitModel(Record):
    """A file of a kit: the model of one entry or more; see :class:`hwnas.profiling.run.Model`."""

    file: str
    sha256: str
    bytes: NonNegativeInt
    inputs: tuple[Port, ...]
    as_is: bool


class KitRuntime(Record):
    """Where a kit's runtime is defined."""

    module: str
    class_: Annotated[str, Field(alias="class")]


class KitDescription(FileRecord):
    """What a kit says of itself, see :class:`hwnas.profiling.kit_file.KitFile`.

    Attributes:
        models: of the plan's entries, or why the runtime can't have one.
        sources: name -> SHA-256 of each file of hwnas in it.
    """

    SCHEMA = KIT_SCHEMA
    REMEDY = "build the kit again"
    ERROR = KitError

    plan: Plan
    runtime: KitRuntime
    models: tuple[KitModel | Failure, ...]
    sources: Mapping[str, str]


class Returned(NamedTuple):
    """What a kit's result holds, once it is proven whole: a table, not calibrated, its space, and which kit it is of.

    Attributes:
        remarks: what is odd and does no harm, a line each.
    """

    table: LatencyTable
    space: ChainSpace
    kit_sha256: str
    remarks: tuple[str, ...]


def read_result(path: Path) -> Returned:
    """Read what a kit wrote.

    Raises:
        KitError: it can't be read, was cut short, damaged or edited, is of another schema, or isn't what the kit's plan
            asks for, Op by Op.
        ArchError: a network isn't one of the space.
    """
    data = _unsealed(path)
    description = data.pop("kit")
    kit = KitDescription.of_plain(description, f"{path}: kit")
    plan = kit.plan
    table = table_of(plan, data, path)
    if len(kit.models) != len(plan.entries):
        raise KitError(f"{path}: its kit has {len(kit.models)} models for {len(plan.entries)} entries; build it again")
    try:
        space = get_space(plan.space)
    except SpaceError as error:
        raise KitError(f"{path}: {error}") from None
    if {*table.ops, *table.failed} != set(space.distinct_ops):
        raise KitError(f"{path} was measured for another {space.source} than there is here; build the kit again")
    for network in (*plan.networks, *plan.held_out):
        space.check(network)
    return Returned(table, space, hashlib.sha256(canonical(description)).hexdigest(), _remarks(table, path))


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


def _remarks(table: LatencyTable, path: Path) -> tuple[str, ...]:
    """Raises:
    KitError: durations contradict each other.
    """
    protocol = table.protocol
    assert protocol is not None
    measured = (*table.ops.values(), *table.networks, *(network for pair in table.held_out for network in pair))
    sum_s = sum(entry.count * entry.p50_ms for entry in measured) / 1e3
    if sum_s > protocol.seconds + 1:
        raise KitError(
            f"{path}: its runs add up to {sum_s:.0f} s, yet all took {protocol.seconds:.0f} s: its clock can't "
            "be right; measure again"
        )
    started = datetime.fromisoformat(protocol.started)
    if not _EARLIEST < started < datetime.now(UTC) + timedelta(days=1):
        return (f"by the device's own clock it was {started:%Y-%m-%d}; durations don't depend on that",)
    return ()


def table_of(plan: Plan, data: Any, where: Path | str) -> LatencyTable:
    """The table that a result of ``plan`` makes, not calibrated.

    Raises:
        KitError: a field is missing, unknown or out of range, the number of entries isn't the plan's, the runtime isn't
            the plan's, or no Op could be run.
    """
    result = Result.of_plain(data, where)
    entries, found = plan.entries, result.entries
    if len(found) != len(entries):
        raise KitError(f"{where} has {len(found)} entries, its plan has {len(entries)}; measure again")
    device = device_of_result(result, plan.conditions, where)
    ops = {op: value for op, value in zip(plan.ops, found, strict=False) if isinstance(value, Latency)}
    failed = {op: value.failed for op, value in zip(plan.ops, found, strict=False) if isinstance(value, Failure)}
    networks = [
        None if isinstance(value, Failure) else MeasuredNetwork(choices=choices, **value.model_dump())
        for choices, value in zip(entries, found, strict=True)
        if not isinstance(choices, Op)
    ]
    to_validate = networks[len(plan.networks) :]
    pairs = zip(to_validate[: len(plan.held_out)], to_validate[len(plan.held_out) :], strict=True)
    reference = entries[min(result.reference, len(entries) - 1)]
    named = str(reference) if isinstance(reference, Op) else f"network {','.join(map(str, reference))}"
    if not ops:
        raise KitError(f"{where}: the device could run none of the plan's {len(plan.ops)} ops")
    return LatencyTable(
        device=device,
        space=plan.space,
        protocol=protocol_of(result, plan.effort, plan.seed, plan.hwnas, named),
        ops=ops,
        failed=failed,
        networks=tuple(network for network in networks[: len(plan.networks)] if network),
        held_out=tuple((first, again) for first, again in pairs if first and again),
    )


def device_of_result(result: Result, asked: Conditions, where: Path | str) -> Device:
    """The device that a result was measured on.

    Raises:
        KitError: the runtime isn't the one that was asked for.
    """
    if (result.device.runtime, result.device.options) != (asked.runtime, asked.options):
        raise KitError(f"{where} was measured with {result.device.runtime}, the plan asks for {asked.runtime}")
    return Device(**result.device.model_dump(), precision=asked.precision, threads=asked.threads, batch=asked.batch)


def protocol_of(result: Result, effort: Effort, seed: int, version: str, reference: str) -> Protocol:
    """How a result was measured: what it tells, and what its plan asked for."""
    said = Protocol.model_fields.keys() & Result.model_fields.keys() - {"reference"}
    return Protocol(
        **{name: getattr(result, name) for name in said},
        runs_per_round=effort.runs_per_round,
        warmup_runs=effort.warmup_runs,
        confidence_asked=effort.confidence,
        reference=reference,
        seed=seed,
        hwnas=version,
    )
