"""``profile``: a space -> the latency table of a device, this one or another, calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hwnas.files import refuse_existing
from hwnas.flow.elsewhere import check_python, profile_on
from hwnas.flow.open import open_space
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.prediction.design import calibration_networks
from hwnas.prediction.validate import draw_unknown
from hwnas.profiling.kit import build_kit
from hwnas.profiling.measure import conditions_of
from hwnas.profiling.plan import Plan, plan_space
from hwnas.profiling.sweep import profile_plan
from hwnas.profiling.timer import Effort
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Conditions
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
    found, runs = open_space(space), get_runtime(runtime, options)
    asked = plan(
        found, conditions_of(runs, threads=threads, precision=precision, batch=batch), networks=networks,
        held_out=held_out, effort=Effort(confidence=confidence, at_most_s=seconds), seed=seed,
    )  # fmt: skip
    if on is not None:
        remote = Remote(on) if isinstance(on, str) else on
        check_python(remote)
        return profile_on(remote, build_kit(asked, found, runs, progress=progress), path, tell)
    table = calibrate_if_enough(profile_plan(asked, found, runs, progress=progress), found)
    if path:
        table.save(path)
    return table


def plan(
    space: ChainSpace,
    conditions: Conditions,
    *,
    networks: int = 20,
    held_out: int = 0,
    effort: Effort | None = None,
    seed: int = 0,
) -> Plan:
    """Every op of the space, the networks that pin a calibration down best, and random ones to validate with.

    Raises:
        ConfigError: fewer than 3 networks to calibrate with, or an effort that nobody can make.
        TableError: the space hasn't as many networks.
    """
    chosen = calibration_networks(space, networks, seed)
    known = [tuple(arch) for arch in chosen.tolist()]
    others = draw_unknown(space, held_out, np.random.default_rng(seed + 1), known)
    return plan_space(space, conditions, networks=chosen, held_out=others, effort=effort, seed=seed)
