"""``profile``: a space -> the latency table of a device, this one or another, calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwnas.files import refuse_existing
from hwnas.flow.carry_out import profile_here, profile_on
from hwnas.flow.plan import plan
from hwnas.profiling.measure import conditions_of
from hwnas.profiling.timer import Effort
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable


def profile(
    space: ChainSpace | str | Path,
    *,
    runtime: str = "onnxruntime",
    options: Mapping[str, str] | None = None,
    threads: int = 1,
    precision: str = "fp32",
    batch: int = 1,
    networks: int = 20,
    held_out: int = 0,
    confidence: float = 0.02,
    seconds: float = 60.0,
    seed: int = 0,
    on: Remote | str | None = None,
    output: Path | str | None = None,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> LatencyTable:
    """Measure every op of a space, and some whole networks of it that calibrate their sum.

    Give it the machine alone: other work is measured, too.

    Args:
        space: a space, its name, or its YAML file.
        runtime: what runs the networks.
        options: of the runtime.
        threads: of one inference.
        precision: of the arithmetic, as the runtime has it.
        batch: images per inference.
        networks: whole networks to calibrate with.
        held_out: whole networks to validate with, measured twice each.
        confidence: know each median to ± this share (95 %).
        seconds: end after so many, known or not.
        seed: of everything random.
        on: another machine, ``ssh://[user@]host[:port]`` or ``adb://SERIAL``; this one if not given.
        output: a YAML file to write the table to.
        progress: called while it works.
        tell: is told what another machine says.

    Raises:
        SpaceError, ConfigError, RuntimeMissingError: it can't be measured as asked.
        OutputError: the output exists already or can't be written.
        ModelError: the runtime can run none of the ops.
        DeviceError: the machine gave up, or the connection to it dropped; the same call goes on there.
    """
    path = Path(output) if output is not None else None
    if path:
        refuse_existing(path)
    conditions = conditions_of(get_runtime(runtime, options), threads=threads, precision=precision, batch=batch)
    effort = Effort(confidence=confidence, at_most_s=seconds)
    asked = plan(space, conditions, networks=networks, held_out=held_out, effort=effort, seed=seed)
    if on is None:
        return profile_here(asked, path, progress=progress)
    return profile_on(asked, on, path, progress=progress, tell=tell)
