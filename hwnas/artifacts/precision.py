"""fp32 ONNX -> the same network in a target's precision: it lies in the graph, where every runtime sees the same.

Which parts int8 leaves in float is tried: each of a few combinations is made, checked and timed. What quantization
costs differs from network to network (Wu et al., arXiv 2004.09602, §6.1, "partial quantization"), and so does what it
gains: where a runtime has no int8 kernel for a part, or has to convert around it, float is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.artifacts.formats.base import Format, open_here
from hwnas.artifacts.parity import least_sqnr_db, shortfall
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import DataError
from hwnas.onnx.computed import weight_precisions
from hwnas.onnx.precision.half import beyond_half, to_half
from hwnas.onnx.precision.int8 import quantize_by, ranges_of
from hwnas.onnx.precision.ranges import Ranges
from hwnas.profiling.timer import Effort
from hwnas.records.target import Target
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime

_BATCH_ELEMENTS = 1 << 20  # of inputs; all activations of a batch are in memory together
_WATCHED = 64  # inputs whose activations are looked at; a margin stands for the others
_WATCHED_AT_ONCE = 4
_IMAGES_NDIM = 4
_COMBINATIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("se",),
    ("depthwise",),
    ("first", "last"),
    ("se", "first", "last"),
)
_AS_ACCURATE_DB = 1.0
_AS_FAST = 1.03
_EFFORT = Effort(at_least_s=2.0, at_most_s=6.0)


def in_precision(
    model: bytes, target: Target, kind: Format, calibration: Samples | None
) -> tuple[bytes, tuple[str, ...]]:
    """fp32's ``model`` as the target's runtime computes it, and notes for people on how that came about.

    bf16 is asked of the runtime, its graph is fp32. From ``calibration``, what the model takes, int8 takes its ranges,
    and fp16 what would overflow or underflow; a quarter of them checks int8.

    Raises:
        DataError: int8 without inputs, or with images that tell no ranges.
        ModelError: the model can't be had in this precision.
    """
    if target.precision == "fp16":
        wide = [] if calibration is None else beyond_half(model, calibration[:_WATCHED].own_feeds(_WATCHED_AT_ONCE))
        notes = (f"kept in fp32, since fp16 would overflow or underflow: {', '.join(wide)}",) if wide else ()
        return to_half(model, wide), notes
    if target.precision == "int8":
        return _quantized(model, target, kind, calibration)
    return model, ()


def _quantized(
    model: bytes, target: Target, kind: Format, calibration: Samples | None
) -> tuple[bytes, tuple[str, ...]]:
    if calibration is None or not len(calibration):
        raise DataError(f"target {target.name} needs images to calibrate with; give --data")
    for array in calibration.arrays:
        if not np.isfinite(array).all():
            raise DataError(f"target {target.name}: images to calibrate with hold NaN or infinity; check the data")
        if array.ndim == _IMAGES_NDIM and np.ptp(array, axis=(2, 3)).max() == 0:
            raise DataError(f"target {target.name}: every image to calibrate with is of one colour; give photographs")
    wanted, preset = target.quantization, kind.preset(target)
    checks = _checks(len(calibration))
    taken = calibration[: images_for_ranges(len(calibration), target)]
    step = max(1, _BATCH_ELEMENTS // sum(array[0].size for array in taken.arrays))
    ranges = ranges_of(model, taken.own_feeds(step), preset, wanted.ranges)
    what = "images" if taken.arrays[0].ndim == _IMAGES_NDIM else "inputs"
    note = f"activation ranges by {wanted.ranges} from {len(taken)} {what}"
    if wanted.keep_float == "auto":
        graph, why = _best_kept(model, ranges, target, kind, calibration[-checks:])
        return graph, (note, why)
    graph = quantize_by(ranges, model, preset, wanted.keep_float)
    return graph, (note, f"kept in float: {' + '.join(wanted.keep_float) or 'nothing'}, as asked")


def images_for_ranges(calibration: int, target: Target) -> int:
    """How many of so many images to calibrate with int8 takes its ranges from."""
    return min(target.quantization.images, max(1, calibration - _checks(calibration)))


def _checks(calibration: int) -> int:
    return max(1, calibration // 4)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One combination.

    Attributes:
        keep: parts in float.
        graph: quantized but for these.
        sqnr_db: of its outputs on inputs that it wasn't calibrated with; None where they tell nothing.
        p50_ms: None where the runtime can't run here.
    """

    keep: tuple[str, ...]
    graph: bytes
    sqnr_db: float | None
    p50_ms: float | None

    def __str__(self) -> str:
        told = [f"{self.sqnr_db:.1f} dB"] if self.sqnr_db is not None else []
        told += [f"{self.p50_ms:.3f} ms"] if self.p50_ms is not None else []
        return f"{' + '.join(self.keep) or 'nothing'} ({', '.join(told)})"


def _best_kept(model: bytes, ranges: Ranges, target: Target, kind: Format, checks: Samples) -> tuple[bytes, str]:
    """The quantized graph that keeps the best parts in float, and why these; ``ranges`` don't come from ``checks``."""
    preset = kind.preset(target)
    graphs: dict[bytes, tuple[str, ...]] = {}
    for keep in _COMBINATIONS:
        graphs.setdefault(quantize_by(ranges, model, preset, keep), keep)
    # of a network of few layers the first and the last may be most
    graphs = {g: keep for g, keep in graphs.items() if not shortfall(weight_precisions(g), "int8")} or graphs
    reference = checks.run(get_runtime("onnxruntime").load(model, threads=1, precision="fp32"), target.batch)
    sessions, here = _sessions(list(graphs), target, kind)
    shown = checks.one(target.batch.min)
    timed = time_sessions({g: (session, shown) for g, session in sessions.items()}, _EFFORT).latency if here else {}
    trials = [
        Trial(
            keep=keep,
            graph=graph,
            sqnr_db=least_sqnr_db(reference, checks.run(sessions[graph], target.batch)),
            p50_ms=timed[graph].p50_ms if graph in timed else None,
        )
        for graph, keep in graphs.items()
    ]
    best = choose(trials)
    others = ", ".join(str(trial) for trial in trials if trial is not best)
    where = "" if timed else ", not timed here"
    return best.graph, f"kept in float: {best}{where}; also tried: {others}"


def choose(trials: Sequence[Trial]) -> Trial:
    """Among those nearly as accurate as the most accurate, and of these nearly as fast as the fastest, the first."""
    # depthwise convolutions are kept for their speed, so not where nobody knows it
    trials = [trial for trial in trials if trial.p50_ms is not None or "depthwise" not in trial.keep]
    most = max(trial.sqnr_db or 0.0 for trial in trials)
    accurate = [trial for trial in trials if (trial.sqnr_db or 0.0) >= most - _AS_ACCURATE_DB]
    least = min(trial.p50_ms or 0.0 for trial in accurate)
    return next(trial for trial in accurate if (trial.p50_ms or 0.0) <= least * _AS_FAST)


def _sessions(graphs: list[bytes], target: Target, kind: Format) -> tuple[dict[bytes, Session], bool]:
    """A session of every graph, and whether they are on the target's runtime: all or none."""
    first, *others = graphs
    session, _, lacks = open_here(kind, target, first, kind.write(first, target))
    if lacks is None:
        return {first: session} | {g: kind.open(kind.write(g, target), target, threads=1) for g in others}, True
    cpu = get_runtime("onnxruntime")
    return {first: session} | {g: cpu.load(g, threads=1, precision="fp32") for g in others}, False
