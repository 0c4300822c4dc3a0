"""What a fresh export's files cost here, each timed in the same rounds as the fp32 form that it replaces."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hwnas.artifacts.make import Made, make
from hwnas.artifacts.process_memory import peak_memory_mb
from hwnas.artifacts.timing import some_images, time_sessions
from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.nn.network import Network
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


def costs(network: Network, made: Sequence[Made], progress: Progress | None = None) -> dict[str, Cost]:
    """The cost of each file that can run here, by its target's name.

    Raises:
        ModelError: a file fails when it is timed, or crashes the process that its memory is measured in.
    """
    here, input_chw = [one for one in made if one.lacks is None], network.graph.in_shapes[0]
    if not here:
        return {}
    sessions = {_form(one.target): (one.session, [some_images(input_chw, one.target.batch.min)]) for one in here}
    for one in here:
        plain = _as_fp32(one.target)
        if _form(plain) not in sessions:
            with suppress(ModelError, RuntimeMissingError):  # as for GPUs that TensorRT doesn't build fp32 for
                session = make(network, plain, None).session
                sessions[_form(plain)] = (session, [some_images(input_chw, plain.batch.min)])
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
            memory_mb=peak_memory_mb(one.files, one.target, input_chw, batch=one.target.batch.min),
        )
    return found


def _as_fp32(target: Target) -> Target:
    return target.model_copy(update={"precision": "fp32", "optimize": "none"})


def _form(target: Target) -> str:
    """The same for targets whose files are the same: one session does for both."""
    unneeded = {"name", "tolerance"} | (set() if target.precision == "int8" else {"quantization"})
    return target.model_dump_json(exclude=unneeded)
