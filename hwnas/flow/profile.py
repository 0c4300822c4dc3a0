"""``profile``, a space -> the latency table of a device; ``kit``, the file that makes it elsewhere; their ``plan``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import ConfigError, whole
from hwnas.files import refuse_existing
from hwnas.flow.carry_out import SEVERAL, profile_at
from hwnas.flow.jobs import SpaceJob, write_kit
from hwnas.flow.open import open_space
from hwnas.prediction.design import calibration_networks
from hwnas.prediction.validate import draw_unknown
from hwnas.profiling.kit import Kit
from hwnas.profiling.local import conditions_of
from hwnas.profiling.plan import Plan, plan_space
from hwnas.profiling.timer import Effort
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.space.space import Space
from hwnas.tables.device import Conditions
from hwnas.tables.table import LatencyTable


@checked
def profile(
    space: Space | str | Path,
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
    on: Annotated[Remote | str | None, SEVERAL] = None,
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
    for name, value, most in (("confidence", confidence, 1), ("seconds", seconds, 1e9)):
        if not 0 < value <= most:
            raise ConfigError(f"{name} must be more than 0 and at most {most:g}, got {value}")
    conditions = conditions_of(get_runtime(runtime, options), threads=threads, precision=precision, batch=batch)
    effort = Effort(confidence=confidence, at_most_s=seconds)
    asked = plan(space, conditions, networks=networks, held_out=held_out, effort=effort, seed=seed)
    return profile_at(SpaceJob(asked), on, path, progress=progress, tell=tell)


@checked
def kit(
    space: Space | str | Path,
    output: Path | str,
    *,
    conditions: Conditions | None = None,
    networks: int = 20,
    held_out: int = 20,
    effort: Effort | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Kit:
    """Write a kit: there ``python KIT.pyz -o RESULT``, then, here, :func:`hwnas.flow.table.import_table`.

    Args:
        space: a space, its name, or its YAML file.
        output: the file, ``*.pyz``.
        conditions: how to run networks, as :func:`plan` takes them.
        networks: whole networks to calibrate with.
        held_out: whole networks to validate with, measured twice each.
        effort: how long to measure there.
        seed: of everything random.
        progress: called while models are written.

    Raises:
        SpaceError, ConfigError, RuntimeMissingError: it can't be measured as asked, or not by a kit.
        OutputError: the output exists already or can't be written.
        ModelError: the runtime can have none of the models.
    """
    path = Path(output)
    refuse_existing(path)
    asked = plan(space, conditions, networks=networks, held_out=held_out, effort=effort, seed=seed)
    return write_kit(SpaceJob(asked), path, progress=progress)


@checked
def plan(
    space: Space | str | Path,
    conditions: Conditions | None = None,
    *,
    networks: int = 20,
    held_out: int = 0,
    effort: Effort | None = None,
    seed: int = 0,
) -> Plan:
    """Every op of the space, the networks that pin a calibration down best, and random ones to validate with.

    Args:
        space: a space, its name, or its YAML file.
        conditions: how to run networks; options that aren't given are the runtime's own. Default: ONNX Runtime's.
        networks: whole networks to calibrate with.
        held_out: whole networks to validate with, measured twice each.
        effort: how long to measure.
        seed: of everything random.

    Raises:
        SpaceError: no such space.
        ConfigError: fewer than 3 networks to calibrate with, an option or a precision that the runtime hasn't.
        RuntimeMissingError: the runtime isn't known or installed.
        TableError: the space hasn't as many networks.
    """
    seed, held_out, networks = whole("seed", seed), whole("held_out", held_out), whole("networks", networks)
    found, asked = open_space(space), conditions or Conditions(runtime="onnxruntime")
    runtime = get_runtime(asked.runtime, asked.options)
    in_force = conditions_of(runtime, threads=asked.threads, precision=asked.precision, batch=asked.batch)
    chosen = calibration_networks(found, networks, seed)
    known = [tuple(arch) for arch in chosen.tolist()]
    others = draw_unknown(found, held_out, np.random.default_rng(seed + 1), known)
    return plan_space(found, in_force, networks=chosen, held_out=others, effort=effort, seed=seed)
