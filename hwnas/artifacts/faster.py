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
from hwnas.onnx.optimize.groups import groups_before
from hwnas.onnx.optimize.padding import shapes_before
from hwnas.onnx.optimize.rewrites import ALWAYS, Rewrite, timed
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.records.optimized import OptimizedRecord, Outcome, TriedRewrite
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency

_EFFORT = Effort(confidence=0.005, at_least_s=2.0, at_most_s=8.0)
_LEAST_GAIN = 0.01
"""Two sessions of one file differ by about as much, by where their memory lies."""
_MOST_DIFFERENCE = 1e-4
"""Of an output, relative to its largest value; both graphs computed in fp32, node by node."""
_ROUNDINGS = 10
"""A network of random weights may multiply every rounding by thousands. So the outputs may also differ by so many times
what rounding its inputs otherwise changes."""


def faster(
    model: bytes,
    load: Callable[[bytes], Session],
    inputs: Sequence[Array],
    *,
    block: int,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> tuple[bytes, OptimizedRecord]:
    """An fp32 ``model`` with those rewrites that keep its function and are faster here, and what each brought.

    Args:
        model: serialized.
        load: a session as the file will be run.
        inputs: an array for each input, to time with and to compare outputs on.
        block: see :func:`hwnas.onnx.optimize.rewrites.timed`.
        effort: of each comparison; 2 to 8 s when None.
        progress: called with (what, done, total, note).

    Raises:
        ModelError: the model itself can't be rewritten, loaded or run.
    """
    original = current = onnx.load_from_string(model)
    reference = _Reference(original, inputs)
    tried: list[TriedRewrite] = []
    for rewrite in ALWAYS:
        if found := rewrite.apply(current):
            outcome: Outcome = "never slower" if reference.is_met_by(found.model) else "differs"
            tried.append(TriedRewrite(name=rewrite.name, places=len(found.places), outcome=outcome))
            current = found.model if outcome == "never slower" else current
    tidied = current
    for alternatives in timed(block):
        found_by = {rewrite: found for rewrite in alternatives if (found := rewrite.apply(current))}
        if found_by:
            current, told = _fastest(current, found_by, load, reference, effort or _EFFORT, progress)
            tried += told
    padded, merged = shapes_before(tidied, current), groups_before(tidied, current)
    return _serialized(current), OptimizedRecord(rewrites=tuple(tried), padded=padded, merged=merged)


def _fastest(
    current: ModelProto,
    found: Mapping[Rewrite, Rewritten],
    load: Callable[[bytes], Session],
    reference: _Reference,
    effort: Effort,
    progress: Progress | None,
) -> tuple[ModelProto, list[TriedRewrite]]:
    """The fastest of the current graph and its rewritten forms, and how these did."""
    inputs = reference.inputs
    outcomes: dict[Rewrite, Outcome] = {}
    sessions: dict[Rewrite | None, tuple[Session, Sequence[Array]]] = {None: (load(_serialized(current)), inputs)}
    for rewrite, each in found.items():
        try:
            same = reference.is_met_by(each.model)
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


class _Reference:
    """A model's own outputs, node by node, and how far from them is still the same function."""

    def __init__(self, model: ModelProto, inputs: Sequence[Array]) -> None:
        self.inputs = inputs
        self._outputs = _answers(model, inputs)
        rounded = [np.nextafter(each, np.inf, dtype=each.dtype) if each.dtype.kind == "f" else each for each in inputs]
        self._most = max(_MOST_DIFFERENCE, _ROUNDINGS * self._difference(_answers(model, rounded)))

    def is_met_by(self, model: ModelProto) -> bool:
        return self._difference(_answers(model, self.inputs)) <= self._most

    def _difference(self, outputs: Sequence[Array]) -> float:
        """The largest of an output, relative to its largest value; infinite where one has NaN and the other hasn't."""
        found = 0.0
        for one, other in zip(self._outputs, outputs, strict=True):
            if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
                return np.inf
            finite = np.isfinite(one)
            apart = np.abs(one[finite].astype(np.float64) - other[finite]).max(initial=0.0)
            found = max(found, float(apart / max(np.abs(one[finite].astype(np.float64)).max(initial=0.0), 1e-30)))
        return found


def _answers(model: ModelProto, inputs: Sequence[Array]) -> tuple[Array, ...]:
    session = get_runtime("onnxruntime").load(_serialized(model), threads=1, precision="fp32", as_is=True)
    return session.run(inputs)


def _serialized(model: ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
