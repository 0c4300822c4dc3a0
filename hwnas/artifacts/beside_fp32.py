"""What a fresh export's files cost here, each timed in the same rounds as the fp32 form that it replaces."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hwnas.arrays import Array
from hwnas.artifacts.make import Made, make
from hwnas.artifacts.process_memory import peak_memory_mb
from hwnas.artifacts.source import Source
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.onnx.stand_in import stand_in
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.tables.table import Latency

_SECONDS_PER_FILE = 1.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one inference of a file costs here; see :class:`hwnas.records.artifact.ExportedFile`."""

    latency: Latency
    fp32_ms: float | None
    memory_mb: float | None


def costs(source: Source, made: Sequence[Made], progress: Progress | None = None) -> dict[str, Cost]:
    """The cost of each file that can run here, by its target's name.

    Raises:
        ModelError: a file fails when it is timed, or crashes the process that its memory is measured in.
    """
    here = [one for one in made if one.lacks is None]
    if not here:
        return {}

    def feed(target: Target) -> list[Array]:
        return [stand_in(port) for port in source.record.feed(target.batch.min)]

    sessions = {_form(one.target): (one.session, feed(one.target)) for one in here}
    for one in here:
        plain = _as_fp32(one.target)
        if _form(plain) not in sessions:
            with suppress(ModelError, RuntimeMissingError):  # as for GPUs that TensorRT doesn't build fp32 for
                sessions[_form(plain)] = (make(source, plain, None).session, feed(plain))
    seconds = _SECONDS_PER_FILE * len(sessions)
    timing = time_sessions(sessions, Effort(at_least_s=seconds, at_most_s=2 * seconds), progress=progress)
    found = {}
    for one in here:
        if reason := timing.failed.get(_form(one.target)):
            raise ModelError(f"{one.target.name} fails when it is timed: {reason}")
        fp32 = timing.latency.get(_form(_as_fp32(one.target)))
        found[one.target.name] = Cost(
            latency=timing.latency[_form(one.target)],
            fp32_ms=fp32.p50_ms if fp32 else None,
            memory_mb=peak_memory_mb(one.files, one.target, source.record.feed(one.target.batch.min)),
        )
    return found


def _as_fp32(target: Target) -> Target:
    return target.model_copy(update={"precision": "fp32", "optimize": "none"})


def _form(target: Target) -> str:
    """The same for targets whose files are the same: one session does for both."""
    unneeded = {"name", "tolerance"} | (set() if target.precision == "int8" else {"quantization"})
    return target.model_dump_json(exclude=unneeded)
