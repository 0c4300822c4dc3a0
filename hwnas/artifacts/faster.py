"""A faster graph of the same function: rewrites are tried one after the other, and those that are faster here are kept.

What a rewrite brings depends on the runtime, the machine and the rewrites before it, so it is measured: the graph with
and without it in the same rounds. One whose gain isn't beyond the noise is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot

import numpy as np
import onnx
from onnx import ModelProto

from hwnas.arrays import Array
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.onnx.optimize.edit import Rewritten
from hwnas.onnx.optimize.padding import shapes_before
from hwnas.onnx.optimize.rewrites import ALWAYS, Rewrite, timed
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.records.optimized import OptimizedRecord, Outcome, TriedRewrite
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency

EFFORT = Effort(confidence=0.005, at_least_s=2.0, at_most_s=8.0)
_LEAST_GAIN = 0.01
"""Two sessions of one file differ by about as much, by where their memory lies."""
_MOST_DIFFERENCE = 1e-4
"""Of an output, relative to its largest value; both graphs computed in fp32, node by node."""


def faster(
    model: bytes,
    load: Callable[[bytes], Session],
    inputs: Sequence[Array],
    *,
    block: int,
    effort: Effort = EFFORT,
    progress: Progress | None = None,
) -> tuple[bytes, OptimizedRecord]:
    """An fp32 ``model`` with those rewrites that keep its function and are faster here, and what each brought.

    Args:
        model: serialized.
        load: a session as the file will be run.
        inputs: an array for each input, to time with and to compare outputs on.
        block: see :func:`hwnas.onnx.optimize.rewrites.timed`.
        effort: of each comparison.
        progress: called with (what, done, total, note).

    Raises:
        ModelError: the model itself can't be rewritten, loaded or run.
    """
    original = current = onnx.load_from_string(model)
    reference = _answers(original, inputs)
    tried: list[TriedRewrite] = []
    for rewrite in ALWAYS:
        if found := rewrite.apply(current):
            outcome: Outcome = "never slower" if _same(reference, _answers(found.model, inputs)) else "differs"
            tried.append(TriedRewrite(name=rewrite.name, places=len(found.places), outcome=outcome))
            current = found.model if outcome == "never slower" else current
    for alternatives in timed(block):
        found_by = {rewrite: found for rewrite in alternatives if (found := rewrite.apply(current))}
        if found_by:
            current, told = _fastest(current, found_by, load, inputs, reference, effort, progress)
            tried += told
    padded = shapes_before(original, current)
    return _serialized(current), OptimizedRecord(rewrites=tuple(tried), padded=padded)


def _fastest(
    current: ModelProto,
    found: Mapping[Rewrite, Rewritten],
    load: Callable[[bytes], Session],
    inputs: Sequence[Array],
    reference: Sequence[Array],
    effort: Effort,
    progress: Progress | None,
) -> tuple[ModelProto, list[TriedRewrite]]:
    """The fastest of the current graph and its rewritten forms, and how these did."""
    outcomes: dict[Rewrite, Outcome] = {}
    sessions: dict[Rewrite | None, tuple[Session, Sequence[Array]]] = {None: (load(_serialized(current)), inputs)}
    for rewrite, each in found.items():
        try:
            same = _same(reference, _answers(each.model, inputs))
            sessions |= {rewrite: (load(_serialized(each.model)), inputs)} if same else {}
            outcomes |= {} if same else {rewrite: "differs"}
        except (ModelError, RuntimeMissingError):
            outcomes[rewrite] = "can't be run"
    latency = time_sessions(sessions, effort, progress=progress).latency if len(sessions) > 1 else {}
    outcomes |= {rewrite: "can't be run" for rewrite in sessions if rewrite and rewrite not in latency}
    timed_ms = {rewrite: each.p50_ms for rewrite, each in latency.items() if rewrite}
    best = min(timed_ms, key=timed_ms.__getitem__, default=None)
    for rewrite in timed_ms:
        gains = _gains(latency[None], latency[rewrite])
        outcomes[rewrite] = "faster" if gains and rewrite == best else "another is faster" if gains else "no faster"
    told = [
        TriedRewrite(
            name=rewrite.name, places=len(each.places), outcome=outcomes[rewrite],
            before_ms=latency[None].p50_ms if rewrite in timed_ms else None, after_ms=timed_ms.get(rewrite),
            noise=_noise(latency[None], latency[rewrite]) if rewrite in timed_ms else None,
        )
        for rewrite, each in found.items()
    ]  # fmt: skip
    kept = next((each.model for rewrite, each in found.items() if outcomes[rewrite] == "faster"), current)
    return kept, told


def _gains(before: Latency, after: Latency) -> bool:
    return after.p50_ms * (1 + max(_noise(before, after), _LEAST_GAIN)) < before.p50_ms


def _noise(before: Latency, after: Latency) -> float:
    return hypot(before.confidence_95 or 0.0, after.confidence_95 or 0.0)


def _answers(model: ModelProto, inputs: Sequence[Array]) -> tuple[Array, ...]:
    session = get_runtime("onnxruntime").load(_serialized(model), threads=1, precision="fp32", as_is=True)
    return session.run(inputs)


def _same(reference: Sequence[Array], answers: Sequence[Array]) -> bool:
    return all(
        one.shape == other.shape
        and bool(np.allclose(other, one, rtol=0, atol=_MOST_DIFFERENCE * np.abs(one).max(initial=0), equal_nan=True))
        for one, other in zip(reference, answers, strict=True)
    )


def _serialized(model: ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
