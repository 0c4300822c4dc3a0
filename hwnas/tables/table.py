"""`LatencyTable`: Op -> latency statistics on one Device, with how it was measured; a YAML file.

The file (schema 2; every time in milliseconds, for one batch)::

    schema: hwnas-latency-table/2
    device: {hardware: …, cores: 2, os: Linux x86_64, runtime: onnxruntime, …}
    space: {source: scarlet-s2, resolution: 224, classes: 1000, fingerprint: …}
    protocol: {rounds: 40, runs_per_round: 2, …, seconds: 61.0, hwnas: 0.1.0}
    calibration: {scale: 1.05, per_op_ms: {mbconv se: 0.03}, fixed_ms: 0.0, error_90: 0.02, …}
    ops:
    - {op: {kind: mbconv, c_in: 16, …}, p50_ms: 0.61, p10_ms: 0.60, p90_ms: 0.66, count: 80, confidence_95: 0.01}
    failed:
    - {op: {kind: …}, reason: why the runtime can't run it}
    networks:
    - {choices: [8, 5, …], p50_ms: 9.1, p10_ms: 9.0, p90_ms: 9.6, count: 80, confidence_95: 0.01}

``networks`` are whole networks measured in the same rounds, ``calibration`` what they say about the sum of ops; with
``held_out``, pairs of measurements of one network each, predictions can be checked. ``added`` are networks measured
later, as the front of a search, which the calibration is fitted on as well. A table from another tool has
``provenance`` in place of ``protocol``, and maybe no space. A space that came from a YAML file has its ``definition``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import exp, log, sqrt
from pathlib import Path
from statistics import median, stdev
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field, NonNegativeInt, PlainSerializer, PlainValidator, model_validator

import hwnas.ops  # noqa: F401  (so that all kinds of Ops are known)
from hwnas.arguments import checked
from hwnas.brief import Brief
from hwnas.errors import SpaceError, TableError, unknown
from hwnas.files import read_yaml, write_atomic
from hwnas.graph.graph import Op
from hwnas.record import Factor, FileRecord, Moment, Record, Some
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space
from hwnas.tables.device import Device
from hwnas.tables.itself import check_itself
from hwnas.tables.protocol import Protocol, Provenance, Share

Milliseconds = Annotated[float, Field(gt=0, le=1e7)]
_MoreOrLess = Annotated[float, Field(ge=-1e7, le=1e7)]  # of milliseconds

Quantile = Literal["p50", "p90"]
"""Which of a network's runs a number is about: their median, or their 90th percentile."""


class Drift(NamedTuple):
    """How much longer networks take than when their table was made.

    Attributes:
        ratio: the median of those of the table's own networks that were measured again.
        error_90: relative half-width of the interval that should hold 90 % of other networks' ratios: a network's
            latency differs from one loading to the next. Student's prediction interval of the logarithms; None of fewer
            than 3.
    """

    ratio: float
    error_90: float | None


def _op_of_plain(data: Any) -> Op:
    if isinstance(data, Op):
        return data
    if not isinstance(data, dict):
        raise ValueError("an op is {kind: …, c_in: …, …}")
    try:
        return Op.from_dict(data)
    except SpaceError as error:
        raise ValueError(str(error)) from None


OpField = Annotated[Op, PlainValidator(_op_of_plain), PlainSerializer(Op.to_dict)]
"""An `Op` as a field of a record: plain values in files."""


class Latency(Record):
    """Statistics of one thing's repeated runs.

    Attributes:
        p50_ms, p10_ms, p90_ms: median, 10th and 90th percentile.
        count: runs.
        confidence_95: relative half-width of the median's 95 % confidence interval; None where that isn't known.
    """

    p50_ms: Milliseconds
    p10_ms: Milliseconds
    p90_ms: Milliseconds
    count: Some
    confidence_95: Share | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Latency:
        if not self.p10_ms <= self.p50_ms <= self.p90_ms:
            raise ValueError(f"p10 ≤ p50 ≤ p90 doesn't hold: {self.p10_ms}, {self.p50_ms}, {self.p90_ms}")
        return self

    @property
    def spread(self) -> float:
        """Half the distance from the 10th to the 90th percentile, relative to the median."""
        return (self.p90_ms - self.p10_ms) / (2 * self.p50_ms)

    def at_ms(self, quantile: Quantile) -> float:
        """One of the percentiles, in ms."""
        return self.p50_ms if quantile == "p50" else self.p90_ms


class MeasuredNetwork(Latency):
    """A whole network of the table's space, measured like its ops."""

    choices: tuple[NonNegativeInt, ...]


class AddedNetwork(MeasuredNetwork):
    """A whole network that was measured later, its times divided by how much slower the machine had become.

    Attributes:
        stabilizers: it had the stabilizers that can't be folded, as networks with inherited weights do.
        drift: how much longer the table's own networks took in the same rounds than when the table was made.
        started: UTC, ISO 8601.
    """

    stabilizers: bool
    drift: Factor
    started: Moment


WITHOUT_SPACE = "hwnas table show and diff read it, and of a space whose kinds of ops it has, space feasible and search"
"""What a table that covers no space is good for."""

ANY = "op"
"""The class of all ops."""


def op_class(op: Op) -> str:
    """The family of an Op with those of its yes-or-no fields that are yes, as ``mbconv se``.

    What an op costs in a network more, or less, than alone differs by class: with SE, for one, a runtime may have to
    change layouts inside the network.
    """
    return " ".join([op.family, *(f.name for f in fields(op) if getattr(op, f.name) is True)])


class Calibration(Record):
    """What measured networks say about the sum of their ops: network ≈ scale · Σ ops + per op of a class + fixed_ms.

    Attributes:
        per_op_ms: class (:func:`op_class`) -> what each op of it adds, ``op`` being all; may be
            negative, since an op alone pays for entering the runtime.
        error_90: half-width, relative, of the interval that should hold 90 % of new networks, at the machine's speed as
            it was when the table was made.
        held_out_mape: mean absolute relative error of each network, predicted by a fit on the others.
    """

    scale: Annotated[float, Field(gt=0, lt=100)]
    per_op_ms: Mapping[str, _MoreOrLess]
    fixed_ms: _MoreOrLess
    error_90: Annotated[float, Field(ge=0, lt=10)]
    held_out_mape: Share
    networks: Some

    def op_ms(self, op: Op, alone_ms: float) -> float:
        """What an op adds to a network, which alone takes ``alone_ms``."""
        return self.scale * alone_ms + self.per_op_ms.get(ANY, 0.0) + self.per_op_ms.get(op_class(op), 0.0)

    def __str__(self) -> str:
        terms = [f"{self.scale:.3f} × the sum of its ops"]
        terms += [f"{ms:+.4f} ms per {name}" for name, ms in self.per_op_ms.items()]
        terms += [f"{self.fixed_ms:+.3f} ms"] if self.fixed_ms else []
        return f"{' '.join(terms)}, ±{self.error_90:.1%} (90 %), by {self.networks} networks"


class _Entry(Latency):
    op: OpField


class _Failed(Record):
    op: OpField
    reason: str


class _File(FileRecord):
    SCHEMA = "hwnas-latency-table/2"
    REMEDY = "profile again"
    ERROR = TableError

    device: Device
    space: SpaceRef | None = None
    protocol: Protocol | None = None
    provenance: Provenance | None = None
    calibration: Calibration | None = None
    ops: Annotated[list[_Entry], Field(min_length=1)]
    failed: tuple[_Failed, ...] = ()
    networks: tuple[MeasuredNetwork, ...] = ()
    held_out: tuple[tuple[MeasuredNetwork, MeasuredNetwork], ...] = ()
    added: tuple[AddedNetwork, ...] = ()

    @model_validator(mode="after")
    def _has_a_source(self) -> _File:
        if (self.protocol is None) == (self.provenance is None):
            raise ValueError("a table has either a protocol (measured by hwnas) or a provenance (imported)")
        return self


@dataclass(frozen=True, kw_only=True, repr=False)
class LatencyTable(Brief):
    """Latencies of Ops on one Device; see the module's docstring for the file.

    Attributes:
        failed: Op -> why the runtime can't run it.
        calibration: None when no network was measured.
    """

    device: Device
    ops: Mapping[Op, Latency]
    space: SpaceRef | None = None
    protocol: Protocol | None = None
    provenance: Provenance | None = None
    failed: Mapping[Op, str] = field(default_factory=dict)
    networks: tuple[MeasuredNetwork, ...] = ()
    held_out: tuple[tuple[MeasuredNetwork, MeasuredNetwork], ...] = ()
    added: tuple[AddedNetwork, ...] = ()
    calibration: Calibration | None = None

    @staticmethod
    @checked
    def load(path: str | Path) -> LatencyTable:
        """Read a table.

        Raises:
            TableError: the file can't be read, or a field is missing, unknown, negative, NaN or there twice;
                the message names file, entry and field. Or its parts contradict one another, see
                :func:`hwnas.tables.itself.check_itself`.
        """
        path = Path(path)
        return LatencyTable.from_dict(read_yaml(path, TableError), path)

    @staticmethod
    def from_dict(data: Any, where: Path | str) -> LatencyTable:
        """A table from what its file holds; ``where`` is for messages. Raises as :meth:`load`."""
        if isinstance(data, dict) and str(data.get("schema")).startswith("hwnas-kernel-table/"):
            raise TableError(
                f"{where} is a table of kernels, which hwnas predict, table show, space feasible and search take; "
                "hwnas profile --space makes one of a space's ops"
            )
        file = _File.of_plain(data, where)
        ops: dict[Op, Latency] = {}
        for row, entry in enumerate(file.ops):
            if entry.op in ops:
                raise TableError(f"{where}: ops.{row}: a second entry for {entry.op}; remove one")
            ops[entry.op] = Latency.model_construct(**{name: getattr(entry, name) for name in Latency.model_fields})
        failed = {entry.op: entry.reason for entry in file.failed}
        if both := ops.keys() & failed.keys():
            raise TableError(f"{where}: {next(iter(both))} is among ops and failed; remove one")
        classes = {ANY, *map(op_class, (*ops, *failed))}
        if odd := [name for name in (file.calibration.per_op_ms if file.calibration else ()) if name not in classes]:
            raise TableError(f"{where}: calibration.per_op_ms: {unknown('class of its ops', odd[0], sorted(classes))}")
        others = {name: getattr(file, name) for name in _File.model_fields if name not in ("ops", "failed")}
        table = LatencyTable(ops=ops, failed=failed, **others)
        check_itself(table, where)
        return table

    def get_space(self) -> ChainSpace:
        """The space that the table was made for.

        Raises:
            TableError: it covers none, as an import may.
            SpaceError: this hwnas makes another space of that name.
        """
        return self._space

    @cached_property
    def _space(self) -> ChainSpace:
        if self.space is None:
            raise TableError(f"the table covers no space; it came from another tool. {WITHOUT_SPACE}")
        return get_space(self.space)

    @property
    def references(self) -> tuple[tuple[int, ...], ...]:
        """Choices of a few of its own networks: timed again, they tell the machine's drift."""
        return tuple(network.choices for network in self.networks[:8])

    def drift(self, now_ms: Mapping[tuple[int, ...], float]) -> Drift | None:
        """How much longer the table's own networks take now than when it was made; None where none was measured.

        Args:
            now_ms: choices -> latency measured now; networks that the table hasn't are passed over.
        """
        ratios = [now_ms[n.choices] / n.p50_ms for n in self.networks if n.choices in now_ms]
        if not ratios:
            return None
        error_90 = None
        if (count := len(ratios)) >= 3:
            from scipy.special import stdtrit  # as long to load as all else that a process which checks a file needs

            deviation = stdev(map(log, ratios)) * sqrt(1 + 1 / count)
            error_90 = exp(float(stdtrit(count - 1, 0.95)) * deviation) - 1
        return Drift(median(ratios), error_90)

    def save(self, path: str | Path) -> None:
        """Write the table, whole or not at all.

        Raises:
            OutputError: the file can't be written.
        """
        write_atomic(Path(path), self.to_yaml())

    def to_yaml(self) -> str:
        """The file's text; one line per entry, so that two tables can be compared line by line."""
        names = ("device", "space", "protocol", "provenance", "calibration")
        sections = {"schema": _File.SCHEMA} | {n: _plain(s) for n in names if (s := getattr(self, n))}
        rows: dict[str, list[Any]] = {
            "ops": [{"op": op.to_dict(), **_plain(latency)} for op, latency in self.ops.items()],
            "failed": [{"op": op.to_dict(), "reason": reason} for op, reason in self.failed.items()],
            "networks": [_of_network(network) for network in self.networks],
            "held_out": [[_of_network(network) for network in pair] for pair in self.held_out],
            "added": [_of_network(network) for network in self.added],
        }
        parts = [yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)]
        parts += [f"{name}:\n{''.join(map(_line, entries))}" for name, entries in rows.items() if entries]
        return "".join(parts)


def _plain(model: Record) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)


def _of_network(network: MeasuredNetwork) -> dict[str, Any]:
    return {"choices": list(network.choices)} | _plain(network)


def _line(entry: dict[str, Any] | list[dict[str, Any]]) -> str:
    return f"- {yaml.safe_dump(entry, sort_keys=False, default_flow_style=True, width=10_000, allow_unicode=True)}"
