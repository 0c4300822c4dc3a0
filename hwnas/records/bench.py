"""`BenchRecord`: files of artifacts, timed side by side on one machine; what ``hwnas bench --json`` prints."""

from __future__ import annotations

from math import hypot

from pydantic import NonNegativeFloat, PositiveFloat, model_validator

from hwnas.record import FileRecord, Record, Some
from hwnas.records.artifact import Parity
from hwnas.records.model import Count
from hwnas.tables.table import Latency

PredictedMs = tuple[float, float | None, float | None]
"""Latency of a network, and the low and the high end of its 90 % interval where there is one."""


class BenchCell(Record):
    """One file on one runtime, with some threads and images per inference.

    Of somebody's own model ``artifact`` is its name, and ``target`` the precision that was asked for.
    """

    artifact: str
    target: str
    runtime: str
    threads: Some
    batch: Some

    @property
    def cell(self) -> BenchCell:
        """The cell alone, without what it took."""
        return BenchCell(**{name: getattr(self, name) for name in BenchCell.model_fields})


class BenchRow(Latency, BenchCell):
    """What a cell took.

    Attributes:
        precision: that its target asked for.
        images_per_s: throughput of one stream at the median.
        parity: to PyTorch, as exported; on another runtime than the target's own to that one; of somebody's own model
            to its graph as it is, which ONNX Runtime runs node by node; None where that can't run here.
        precisions: {precision: layers with weights that compute in it}, read back here.
        memory_mb: see :mod:`hwnas.artifacts.process_memory`.
        predicted_ms: by the table; None without one, or where it is of other conditions.
    """

    precision: str
    images_per_s: PositiveFloat
    bytes: Count
    parity: Parity | None
    precisions: dict[str, Count]
    memory_mb: NonNegativeFloat | None
    predicted_ms: PositiveFloat | None

    @model_validator(mode="after")
    def _throughput_is_of_the_median(self) -> BenchRow:
        if abs(self.images_per_s * self.p50_ms / (1000 * self.batch) - 1) > 0.01:
            raise ValueError(f"images_per_s {self.images_per_s:g} isn't batch {self.batch} per p50_ms {self.p50_ms:g}")
        return self

    @property
    def bounds_ms(self) -> tuple[float, float]:
        """Ends of the median's 95 % confidence interval."""
        half_ms = self.p50_ms * (self.confidence_95 or 0.0)
        return self.p50_ms - half_ms, self.p50_ms + half_ms


class Fastest(BenchCell):
    """The fastest of a batch and number of threads, and those whose confidence intervals reach into its own."""

    p50_ms: PositiveFloat
    as_fast: tuple[BenchCell, ...]


class Lacking(BenchCell):
    """A cell that can't run here, and why."""

    lacks: str


class BenchRecord(FileRecord):
    """A bench.

    Attributes:
        results: by batch and threads, the fastest first.
        drift: how much longer the table's own networks took in the same rounds than when the table was made; None
            where no table was given, or it is of another runtime, precision, number of threads or batch.
        drift_error_90: relative half-width of the interval that should hold 90 % of other networks' drifts.
        confidence_95: relative half-width of the 95 % confidence interval of the median that is known the least.
        unsteadiness_90: half-width, relative, of the middle 90 % of the machine's speeds meanwhile.
    """

    SCHEMA = "hwnas-bench/1"
    REMEDY = "bench again"

    results: tuple[BenchRow, ...]
    fastest: tuple[Fastest, ...]
    lacking: tuple[Lacking, ...]
    drift: PositiveFloat | None
    drift_error_90: NonNegativeFloat | None = None
    confidence_95: NonNegativeFloat
    unsteadiness_90: NonNegativeFloat

    def drifted(self, predicted: PredictedMs) -> PredictedMs:
        """A table's prediction as of this bench: times the machine's drift since, the interval wider by what that is
        known to differ among networks."""
        ms, low_ms, high_ms = predicted
        drift, error_90 = self.drift or 1.0, self.drift_error_90 or 0.0
        if low_ms is not None and high_ms is not None:
            low_ms = drift * max(ms - hypot(ms - low_ms, error_90 * ms), 0.0)
            high_ms = drift * (ms + hypot(high_ms - ms, error_90 * ms))
        return drift * ms, low_ms, high_ms
