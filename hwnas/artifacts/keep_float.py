"""Which parts of a network int8 leaves in float: each of a few combinations is made, checked and timed.

What quantization costs differs from network to network (Wu et al., arXiv 2004.09602, §6.1, "partial quantization"), and
so does what it gains: where a runtime has no int8 kernel for a part, or has to convert around it, float is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwnas.arrays import Images
from hwnas.artifacts.formats.base import Format, open_here
from hwnas.artifacts.parity import Logits, run_session, sqnr_db
from hwnas.artifacts.timing import time_sessions
from hwnas.onnx.precision.int8 import quantize_by
from hwnas.onnx.precision.ranges import Ranges
from hwnas.profiling.timer import Effort
from hwnas.records.target import Target
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime

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


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One combination.

    Attributes:
        keep: parts in float.
        graph: quantized but for these.
        sqnr_db: of its logits on images that it wasn't calibrated with; None where they tell nothing.
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


def best_kept(model: bytes, ranges: Ranges, target: Target, kind: Format, images: Images) -> tuple[bytes, str]:
    """The quantized graph that keeps the best parts in float, and why these.

    Args:
        model: fp32.
        ranges: of its activations.
        target: what is made.
        kind: its format.
        images: normalised (N, C, H, W), that ``ranges`` don't come from.
    """
    preset = kind.preset(target)
    graphs: dict[bytes, tuple[str, ...]] = {}
    for keep in _COMBINATIONS:
        graphs.setdefault(quantize_by(ranges, model, preset, keep), keep)
    reference = run_session(get_runtime("onnxruntime").load(model, threads=1, precision="fp32"), images, target.batch)
    sessions, here = _sessions(list(graphs), target, kind)
    shown = images[:1].repeat(target.batch.min, axis=0)
    timed = time_sessions({g: (session, shown) for g, session in here.items()}, _EFFORT).latency if here else {}
    trials = [
        Trial(
            keep=keep,
            graph=graph,
            sqnr_db=_sqnr_db(reference, sessions[graph], images, target),
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


def _sessions(graphs: list[bytes], target: Target, kind: Format) -> tuple[dict[bytes, Session], dict[bytes, Session]]:
    """A session of every graph, and of these the ones on the target's runtime: all or none."""
    first, *others = graphs
    session, _, lacks = open_here(kind, target, first, kind.write(first, target))
    if lacks is None:
        here = {first: session} | {g: kind.open(kind.write(g, target), target, threads=1) for g in others}
        return here, here
    cpu = get_runtime("onnxruntime")
    return {g: cpu.load(g, threads=1, precision="fp32") for g in graphs}, {}


def _sqnr_db(reference: Logits, session: Session, images: Images, target: Target) -> float | None:
    return sqnr_db(reference, run_session(session, images, target.batch))
