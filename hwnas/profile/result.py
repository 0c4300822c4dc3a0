"""What a device sent back -> a `LatencyTable`, once it is proven to be what the plan asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.errors import KitError
from hwnas.files import validated
from hwnas.profile.plan import Entry, Plan, Whole
from hwnas.space.op import Op
from hwnas.tables.device import Device
from hwnas.tables.origin import Condition, Protocol
from hwnas.tables.table import Latency, LatencyTable, MeasuredNetwork

_Share = Annotated[float, Field(ge=0, le=1e3, allow_inf_nan=False)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Failure(_Strict):
    """An entry that the runtime can't run."""

    failed: Annotated[str, Field(min_length=1, max_length=300)]


class MeasuredOn(_Strict):
    """The part of a `Device` that only the device knows."""

    hardware: _Text
    cores: Annotated[int, Field(gt=0)]
    os: _Text
    clocks: _Text
    runtime: _Text
    runtime_version: _Text
    options: Mapping[str, str]


class Result(_Strict):
    """What :func:`hwnas.profile.run.run_plan` returns; times in milliseconds, entries in the plan's order."""

    schema_: Annotated[Literal["hwnas-result/1"], Field(alias="schema")]
    device: MeasuredOn
    python: _Text
    started: _Text
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rounds: Annotated[int, Field(gt=0)]
    reference: Annotated[int, Field(ge=0)]
    confidence_95: _Share
    unsteadiness_90: _Share
    drift: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    clock_steps: Annotated[int, Field(ge=0)]
    affinity: tuple[int, ...]
    before: Condition
    after: Condition
    entries: tuple[Latency | Failure, ...]


def table_of(plan: Plan, data: Any, where: Path | str) -> LatencyTable:
    """The table that a result of ``plan`` makes, not calibrated.

    Args:
        plan: what was asked for.
        data: what came back, plain values.
        where: it came from, for messages.

    Raises:
        KitError: a field is missing, unknown or out of range, the number of entries isn't the plan's, the runtime isn't
            the plan's, or no Op could be run.
    """
    result = validated(Result, data, where, KitError)
    entries = plan.entries()
    if len(result.entries) != len(entries):
        raise KitError(f"{where} has {len(result.entries)} entries, its plan has {len(entries)}; measure again")
    if (result.device.runtime, dict(result.device.options)) != (plan.runtime, dict(plan.options)):
        raise KitError(f"{where} was measured with {result.device.runtime}, the plan asks for {plan.runtime}")
    measured = dict(zip(entries, result.entries, strict=True))
    ops = {key: value for key, value in measured.items() if isinstance(key, Op) and isinstance(value, Latency)}
    if not ops:
        raise KitError(f"{where}: the device could run none of the plan's {len(plan.ops)} ops")
    return LatencyTable(
        device=Device(
            **result.device.model_dump(), precision=plan.precision, threads=plan.threads, batch=plan.batch
        ),
        space=plan.space,
        protocol=Protocol(
            rounds=result.rounds,
            runs_per_round=int(plan.effort["runs_per_round"]),
            warmup_runs=int(plan.effort["warmup_runs"]),
            confidence_asked=plan.effort["confidence"],
            reference=str(entries[min(result.reference, len(entries) - 1)]),
            seed=plan.seed,
            hwnas=plan.hwnas,
            **result.model_dump(
                include={"confidence_95", "unsteadiness_90", "drift", "clock_steps", "affinity", "before", "after",
                         "seconds", "started", "python"}
            ),
        ),
        ops=ops,
        failed={k: v.failed for k, v in measured.items() if isinstance(k, Op) and isinstance(v, Failure)},
        networks=_networks(measured, "no"),
        held_out=tuple(zip(_networks(measured, "first"), _networks(measured, "again"), strict=True)),
    )  # fmt: skip


def _networks(measured: Mapping[Entry, Latency | Failure], held_out: str) -> tuple[MeasuredNetwork, ...]:
    """The networks that ran; of a pair, if both did."""
    ran = {key: value for key, value in measured.items() if isinstance(key, Whole) and isinstance(value, Latency)}
    pairs = {choices for choices, which in ran if which == "first"} & {c for c, which in ran if which == "again"}
    return tuple(
        MeasuredNetwork(choices=key.choices, **value.model_dump())
        for key, value in ran.items()
        if key.held_out == held_out and (held_out == "no" or key.choices in pairs)
    )
