"""`LatencyPredictor`: a table and its calibration, lowered onto a space."""

from __future__ import annotations

import numpy.typing as npt

from hwnas.errors import MissingOpError
from hwnas.predict.lowered import LayerSum, Values
from hwnas.space.op import Op, Stabilizer
from hwnas.space.space import Space
from hwnas.tables.table import LatencyTable


class LatencyPredictor:
    """Latency of any arch of a space: ``scale · Σ table[op]``.

    Args:
        table: measured on the device in question.
        space: whose archs; every Op of it must be in the table.
        stabilizers: see :class:`hwnas.predict.lowered.LayerSum`.

    Attributes:
        error_90: relative half-width of the 90 % interval; None when the table isn't calibrated, and then
            the plain sum is predicted.

    Raises:
        MissingOpError: the table lacks an Op of the space; names the first and says how many.
    """

    def __init__(self, table: LatencyTable, space: Space, *, stabilizers: bool = False) -> None:
        needed = [op for op in space.distinct_ops if stabilizers or not isinstance(op, Stabilizer)]
        if missing := [op for op in needed if op not in table.ops]:
            raise MissingOpError(
                f"the table lacks {len(missing)} of {len(needed)} ops of {space.name} at {space.resolution} px with "
                f"{space.classes} classes, the first is [{missing[0]}]; it was made for {table.space.source} at "
                f"{table.space.resolution} px with {table.space.classes} classes; run hwnas profile for this space"
            )
        calibration = table.calibration
        self._scale = calibration.scale if calibration else 1.0
        self.table = table
        self.space = space
        self.error_90: float | None = calibration.error_90 if calibration else None
        self._sum = LayerSum(space, self._op_ms, stabilizers=stabilizers)

    def predict(self, archs: npt.ArrayLike) -> Values:
        """Latency in ms: archs (N, L) -> float64 (N,).

        Raises:
            ArchError: not archs of the space.
        """
        return self._sum(archs)

    def interval(self, archs: npt.ArrayLike) -> tuple[Values, Values] | None:
        """Low and high ends in ms, (N,) each, of the interval that should hold 90 % of networks; None uncalibrated.

        Raises:
            ArchError: not archs of the space.
        """
        if self.error_90 is None:
            return None
        latency_ms = self.predict(archs)
        return latency_ms * (1 - self.error_90), latency_ms * (1 + self.error_90)

    def per_layer_ms(self, arch: npt.ArrayLike) -> dict[str, float]:
        """What each place of the arch's walk (``stem``, ``layers.3``, …) adds, in ms."""
        walk = self.space.walk(arch, self._sum.stabilizers)
        return {place: self._op_ms(op) for place, op in walk}

    def _op_ms(self, op: Op) -> float:
        """What an op adds to a network: its entry, calibrated."""
        return self._scale * self.table.ops[op].p50_ms
