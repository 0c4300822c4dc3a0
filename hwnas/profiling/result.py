"""What measuring a plan gave -> a `LatencyTable`, if it is what the plan asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from hwnas.errors import KitError
from hwnas.graph.graph import Op
from hwnas.profiling.plan import Plan
from hwnas.profiling.run import RESULT_SCHEMA
from hwnas.profiling.timer import Effort
from hwnas.record import Factor, FileRecord, Moment, Record, ShortText, Some
from hwnas.tables.device import Conditions, Device
from hwnas.tables.protocol import MachineState, Protocol, Share
from hwnas.tables.table import Latency, LatencyTable, MeasuredNetwork


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
