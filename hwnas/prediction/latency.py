"""`LatencyPredictor`: a table and its calibration, lowered onto a space."""

from __future__ import annotations

import shlex

import numpy as np
import numpy.typing as npt

from hwnas.arguments import checked
from hwnas.arrays import Values
from hwnas.errors import MissingOpError, TableError, counted
from hwnas.graph.graph import Op
from hwnas.prediction.calibrate import calibration_of
from hwnas.prediction.costs import LayerSum
from hwnas.prediction.interpolate import Estimate, KernelModel
from hwnas.space.space import Space
from hwnas.space.transitions import Steps
from hwnas.tables.table import Calibration, LatencyTable, Quantile


class LatencyPredictor:
    """Latency of any arch of a space: the sum of its ops, calibrated (see :mod:`hwnas.prediction.calibrate`).

    Each op's latency is the table's own entry if it has one; else a kernel model fitted on all entries answers, with a
    wider error.

    Args:
        space: whose archs; ``space.inheriting()`` for those of networks with inherited weights.
        quantile: ``p50`` predicts the median of a network's runs. ``p90``, what nine of ten runs stay within, is
            calibrated on the 90th percentiles of the networks that were measured beside the ops.

    Attributes:
        error_90: relative half-width of the 90 % interval of a network whose ops are all in the table; None when the
            table isn't calibrated, and then the plain sum is predicted.
        interpolated: Op -> what the kernel model says, for those that aren't in the table.

    Raises:
        MissingOpError: an Op isn't in the table, and the table has too few of its kind to say anything about it.
        TableError: ``p90`` of a table that hasn't 3 networks to learn it from.
    """

    @checked
    def __init__(self, table: LatencyTable, space: Space, *, quantile: Quantile = "p50") -> None:
        self.table = table
        self.space = space
        calibration = table.calibration if quantile == "p50" else _calibration_p90(table, space)
        self.error_90: float | None = calibration.error_90 if calibration else None
        self._calibration = calibration
        self._fixed_ms = calibration.fixed_ms if calibration else 0.0
        transitions = space.transitions()
        needed = transitions.ops if transitions else space.distinct_ops
        unknown = [op for op in needed if op not in table.ops and op not in table.failed]
        self.interpolated: dict[Op, Estimate] = _interpolate(unknown, table, space) if unknown else {}
        self._sum = LayerSum(space, self._op_ms)
        self._uncertain_ms = LayerSum(space, self._op_error_ms) if self.interpolated else None

    def __repr__(self) -> str:
        error = "uncalibrated" if self.error_90 is None else f"±{self.error_90:.1%} (90 %)"
        known = f"{error}, {counted(len(self.interpolated), 'op')} interpolated"
        return f"<LatencyPredictor of {self.space!r} on {self.table.device}: {known}>"

    @property
    def steps(self) -> Steps:
        """What a prediction adds up, in ms, a decision at a time; infinite at choices that the runtime couldn't run."""
        return self._sum.steps.plus(self._fixed_ms)

    def __call__(self, archs: npt.ArrayLike) -> Values:
        """Latency in ms: archs (N, L) -> float64 (N,).

        Raises:
            ArchError: not archs of the space.
            MissingOpError: an arch has an Op that the runtime couldn't run when the table was made.
            TableError: by the table's calibration an arch takes no time, or less.
        """
        latency_ms: Values = self._sum(archs) + self._fixed_ms
        if self.table.failed and np.isinf(latency_ms).any():
            arch = self.space.check(archs)[np.argmax(np.isinf(latency_ms))]
            op = next(op for op in self.space.graph(arch).ops if op in self.table.failed)
            raise MissingOpError(
                f"{self.table.device.runtime} couldn't run [{op}] when the table was made: {self.table.failed[op]}; "
                f"arch {','.join(map(str, arch))} needs it"
            )
        if latency_ms.min(initial=np.inf) <= 0:
            least = np.argmin(latency_ms)
            arch = ",".join(map(str, np.atleast_2d(archs)[least]))
            raise TableError(
                f"by the table's calibration ({self._calibration}) arch {arch} "
                f"takes {latency_ms[least]:.4g} ms, which can't be; profile again, with more networks"
            )
        return latency_ms

    def interval(self, archs: npt.ArrayLike) -> tuple[Values, Values] | None:
        """Low and high ends in ms, (N,) each, of the interval that should hold 90 % of networks; None uncalibrated.

        It holds for the machine's speed as it was when the table was made.

        Raises:
            ArchError, MissingOpError: as for a prediction.
        """
        if self.error_90 is None:
            return None
        latency_ms = self(archs)
        half_ms = self.error_90 * latency_ms
        if self._uncertain_ms:
            half_ms = np.hypot(half_ms, self._uncertain_ms(archs))
        return np.maximum(latency_ms - half_ms, 0.0), latency_ms + half_ms

    def interpolated_of(self, arch: npt.ArrayLike) -> tuple[Op, ...]:
        """Those of the arch's ops that the kernel model answered."""
        return tuple(op for op in self.space.graph(arch).ops if op in self.interpolated)

    def per_layer_ms(self, arch: npt.ArrayLike) -> dict[str, float]:
        """What each place of the arch's graph (``stem``, ``layers.3``, …) adds, in ms; ``fixed_ms`` isn't among it."""
        return {node.place: self._op_ms(node.op) for node in self.space.graph(arch)}

    def _op_ms(self, op: Op) -> float:
        """What an op adds to a network: its latency, calibrated; infinite where the runtime can't run it."""
        if op in self.table.failed:
            return float("inf")
        alone_ms = self.table.ops[op].p50_ms if op in self.table.ops else self.interpolated[op].latency_ms
        return self._calibration.op_ms(op, alone_ms) if self._calibration else alone_ms

    def _op_error_ms(self, op: Op) -> float:
        """Half-width of the 90 % interval of an interpolated op; errors of ops interpolated alike add up."""
        estimate = self.interpolated.get(op)
        scale = self._calibration.scale if self._calibration else 1.0
        return scale * estimate.latency_ms * estimate.error_90 if estimate else 0.0


def _calibration_p90(table: LatencyTable, space: Space) -> Calibration:
    if table.space is None or len(table.networks) < 3:
        raise TableError(
            "p90 of a network is learnt from measured networks, of which the table has fewer than 3; give one that "
            "hwnas profile made, not merged with others"
        )
    same = table.space.fingerprint == space.fingerprint
    return calibration_of(table, space if same else table.get_space(), "p90")


def _interpolate(unknown: list[Op], table: LatencyTable, space: Space) -> dict[Op, Estimate]:
    try:
        model = KernelModel({op: latency.p50_ms for op, latency in table.ops.items()})
        return {op: model.predict_ms(op) for op in unknown}
    except MissingOpError as error:
        raise MissingOpError(
            _of_another_size(table, space)
            or f"the table (made for {table.space or 'no space'}) lacks {counted(len(unknown), 'op')} of {space.ref}, "
            f"the first is [{unknown[0]}]; {error}; run {_profiling(space)}"
        ) from None


def _of_another_size(table: LatencyTable, space: Space) -> str | None:
    """That only classes or the resolution are others, in words; None where they don't explain it."""
    made, wanted = table.space, space.ref
    if made is None or made.source != wanted.source:
        return None
    pairs = [
        (f"{made.classes} classes", f"{wanted.classes}", made.classes != wanted.classes),
        (f"{made.resolution} px", f"{wanted.resolution} px", made.resolution != wanted.resolution),
    ]
    differing = [(before, now) for before, now, differs in pairs if differs]
    if not differing:
        return None
    of_table, of_space = (" and ".join(words) for words in zip(*differing, strict=True))
    return f"the table is for {of_table}, the network has {of_space}; run {_profiling(space)}"


def _profiling(space: Space) -> str:
    source, size = shlex.quote(space.ref.source), f"{space.resolution} --classes {space.classes}"
    return f"hwnas profile --space {source} --resolution {size} -o table-{space.resolution}-{space.classes}.yaml"
