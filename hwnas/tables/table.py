"""`LatencyTable`: Op -> latency statistics on one Device, with how it was measured; a YAML file.

The file (schema 1; every time in milliseconds, for one batch)::

    schema: hwnas-latency-table/1
    device: {hardware: …, cores: 2, os: Linux x86_64, runtime: onnxruntime, …}
    space: {source: scarlet-s2, resolution: 224, classes: 1000, fingerprint: …}
    protocol: {rounds: 8, runs_per_round: 8, …, seconds: 41.0, hwnas: 0.1.0}
    calibration: {scale: 0.91, error_90: 0.03, networks: 12}
    ops:
    - {op: {kind: mbconv, c_in: 16, …}, p50_ms: 0.61, p10_ms: 0.60, p90_ms: 0.66, count: 64}
    networks:
    - {choices: [8, 5, …], p50_ms: 9.1, p10_ms: 9.0, p90_ms: 9.6, count: 64}

``networks`` are whole random networks measured in the same rounds, ``calibration`` what they say about the sum of
ops. Both may be absent in a table that came from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwnas.errors import SpaceError, TableError
from hwnas.files import read_yaml, validated, write_atomic
from hwnas.space.op import Op
from hwnas.space.space import Space
from hwnas.tables.device import Device

SCHEMA = "hwnas-latency-table/1"

_Milliseconds = Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Model):
    """Statistics of one thing's repeated runs: median, 10th and 90th percentile, number of runs."""

    p50_ms: _Milliseconds
    p10_ms: _Milliseconds
    p90_ms: _Milliseconds
    count: Annotated[int, Field(gt=0, strict=True)]

    @model_validator(mode="after")
    def _ordered(self) -> Latency:
        if not self.p10_ms <= self.p50_ms <= self.p90_ms:
            raise ValueError(f"p10 ≤ p50 ≤ p90 doesn't hold: {self.p10_ms}, {self.p50_ms}, {self.p90_ms}")
        return self

    @property
    def spread(self) -> float:
        """Half the distance from the 10th to the 90th percentile, relative to the median."""
        return (self.p90_ms - self.p10_ms) / (2 * self.p50_ms)


class MeasuredNetwork(Latency):
    """A whole network of the table's space, measured like its ops."""

    choices: tuple[Annotated[int, Field(ge=0, strict=True)], ...]


class SpaceOfTable(_Model):
    """For which space the table was made."""

    source: str
    resolution: Annotated[int, Field(gt=0, strict=True)]
    classes: Annotated[int, Field(gt=0, strict=True)]
    fingerprint: str

    @staticmethod
    def of(space: Space) -> SpaceOfTable:
        """What a table says about ``space``."""
        return SpaceOfTable(
            source=space.source,
            resolution=space.resolution,
            classes=space.classes,
            fingerprint=space.fingerprint,
        )


class Protocol(_Model):
    """How the table was measured.

    Attributes:
        rounds: passes over all entries, in a new random order each.
        runs_per_round: timed runs of an entry in one pass.
        warmup_runs: untimed runs of an entry before the first round.
        unsteadiness_90: how much the machine's speed changed meanwhile; see ``hwnas.profile.timer.Measurement``.
        seconds: that the measuring took.
        seed: of the order and of the networks.
        started: UTC, ISO 8601.
        hwnas: version that measured.
    """

    rounds: Annotated[int, Field(gt=0)]
    runs_per_round: Annotated[int, Field(gt=0)]
    warmup_runs: Annotated[int, Field(ge=0)]
    unsteadiness_90: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seed: int
    started: str
    hwnas: str


class Calibration(_Model):
    """What measured networks say about the sum of their ops.

    Attributes:
        scale: network latency ≈ scale · Σ ops.
        error_90: half-width, relative, of the interval that should hold 90 % of new networks, measured for a second
            at another moment: what the fit leaves open, and the machine's unsteadiness.
        networks: how many it was fitted on.
    """

    scale: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]
    error_90: Annotated[float, Field(ge=0, lt=10, allow_inf_nan=False)]
    networks: Annotated[int, Field(gt=1)]


class _Entry(Latency):
    op: dict[str, Any]


class _File(_Model):
    schema_: Annotated[Literal["hwnas-latency-table/1"], Field(alias="schema")]
    device: Device
    space: SpaceOfTable
    protocol: Protocol
    calibration: Calibration | None = None
    ops: Annotated[list[_Entry], Field(min_length=1)]
    networks: list[MeasuredNetwork] = []


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Latencies of Ops on one Device; see the module's docstring for the file.

    Attributes:
        ops: the entries.
        networks: whole networks measured beside them.
        calibration: from sums of ops to networks; None when no network was measured.
    """

    device: Device
    space: SpaceOfTable
    protocol: Protocol
    ops: Mapping[Op, Latency]
    networks: tuple[MeasuredNetwork, ...] = field(default=())
    calibration: Calibration | None = None

    @staticmethod
    def load(path: str | Path) -> LatencyTable:
        """Read a table.

        Raises:
            TableError: the file can't be read, or a field is missing, unknown, negative, NaN or there twice;
                the message names file, entry and field.
        """
        path = Path(path)
        file = validated(_File, read_yaml(path, TableError), path, TableError)
        ops: dict[Op, Latency] = {}
        for row, entry in enumerate(file.ops):
            try:
                op = Op.from_dict(entry.op)
            except SpaceError as error:
                raise TableError(f"{path}: ops.{row}.op: {error}") from None
            if op in ops:
                raise TableError(f"{path}: ops.{row}: a second entry for {op}; remove one")
            ops[op] = Latency(p50_ms=entry.p50_ms, p10_ms=entry.p10_ms, p90_ms=entry.p90_ms, count=entry.count)
        return LatencyTable(
            device=file.device,
            space=file.space,
            protocol=file.protocol,
            ops=ops,
            networks=tuple(file.networks),
            calibration=file.calibration,
        )

    def drift(self, now_ms: Mapping[tuple[int, ...], float]) -> float | None:
        """How much longer the table's own networks take now than when it was made: the median of the ratios.

        Args:
            now_ms: choices -> latency measured now; networks that the table hasn't are passed over.
        """
        ratios = [now_ms[n.choices] / n.p50_ms for n in self.networks if n.choices in now_ms]
        return median(ratios) if ratios else None

    def save(self, path: str | Path) -> None:
        """Write the table, whole or not at all.

        Raises:
            OutputError: the file can't be written.
        """
        write_atomic(Path(path), self.to_yaml())

    def to_yaml(self) -> str:
        """The file's text; one line per entry, so that two tables can be compared line by line."""
        calibration = self.calibration.model_dump() if self.calibration else None
        parts = [
            yaml.safe_dump({"schema": SCHEMA, "device": self.device.model_dump()}, sort_keys=False),
            yaml.safe_dump({"space": self.space.model_dump(), "protocol": self.protocol.model_dump()}, sort_keys=False),
            yaml.safe_dump({"calibration": calibration}, sort_keys=False) if calibration else "",
            "ops:\n",
            *(_line({"op": op.to_dict(), **latency.model_dump()}) for op, latency in self.ops.items()),
            "networks:\n" if self.networks else "",
            *(_line({"choices": list(n.choices), **n.model_dump(exclude={"choices"})}) for n in self.networks),
        ]
        return "".join(parts)


def _line(entry: dict[str, Any]) -> str:
    return f"- {yaml.safe_dump(entry, sort_keys=False, default_flow_style=True, width=10_000)}"
