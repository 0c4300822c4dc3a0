"""How a table came about: measured by hwnas (`Protocol`) or taken from another tool (`Provenance`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from hwnas.errors import counted
from hwnas.record import Factor, Moment, Record, Sha256, ShortText, Some

Share = Annotated[float, Field(ge=0, le=1e3)]


class MachineState(Record):
    """How a machine was doing at a moment; None is what its system doesn't tell.

    Attributes:
        load: processes that wanted to run, 1-minute average.
        clock_mhz: mean of the processors.
        throttled: times that a processor slowed down for heat, since the machine started.
        busy_s, stolen_s: processor seconds used in all and taken by other virtual machines, since it started.
        temperature_c: of the hottest sensor.
        battery_percent: of the battery it runs on.
    """

    load: NonNegativeFloat | None = None
    clock_mhz: NonNegativeFloat | None = None
    throttled: NonNegativeFloat | None = None
    busy_s: NonNegativeFloat | None = None
    stolen_s: NonNegativeFloat | None = None
    temperature_c: float | None = None
    battery_percent: NonNegativeFloat | None = None


class Protocol(Record):
    """How the table was measured; what isn't said here is in :mod:`hwnas.profiling.timer`.

    Attributes:
        confidence_asked, confidence_95: relative half-width of the 95 % confidence interval that every entry's median
            was to have, and that the least known one has.
        reference: what was timed between all others to know the machine's speed.
        affinity: logical processors that the process could use.
        before, after: how the machine was doing.
        seed: of the order and of the networks.
        started: UTC, ISO 8601.
    """

    rounds: Some
    runs_per_round: Some
    warmup_runs: NonNegativeInt
    confidence_asked: Share
    confidence_95: Share
    unsteadiness_90: Share
    drift: Factor
    clock_steps: NonNegativeInt
    reference: str
    affinity: tuple[int, ...]
    before: MachineState
    after: MachineState
    seconds: NonNegativeFloat
    seed: int
    started: Moment
    python: ShortText
    hwnas: ShortText

    def __str__(self) -> str:
        return (
            f"{counted(self.rounds, 'interleaved round')} of {counted(self.runs_per_round, 'run')} "
            f"in {self.seconds:.0f} s, {self.started}; medians known to ±{self.confidence_95:.1%} (95 %)"
        )


class Provenance(Record):
    """Where a table came from that hwnas didn't measure.

    Attributes:
        unit: of the times in the file; here all are milliseconds.
        note: what the importer had to assume, in a sentence or more.
    """

    file: str
    sha256: Sha256
    format: str
    unit: Literal["ms", "us", "s"]
    note: str

    def __str__(self) -> str:
        return f"imported from {self.file} ({self.format}, times in {self.unit}): {self.note}"
