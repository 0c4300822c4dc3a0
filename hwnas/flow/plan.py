"""What to measure, planned once for all ways to do it: here, elsewhere, by a kit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwnas.flow.open import open_space
from hwnas.prediction.design import calibration_networks
from hwnas.prediction.validate import draw_unknown
from hwnas.profiling.measure import conditions_of
from hwnas.profiling.plan import Plan, plan_space
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Conditions


def plan(
    space: ChainSpace | str | Path,
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
        ConfigError: fewer than 3 networks to calibrate with, an effort that nobody can make, an option or a precision
            that the runtime hasn't.
        RuntimeMissingError: the runtime isn't known or installed.
        TableError: the space hasn't as many networks.
    """
    found, asked = open_space(space), conditions or Conditions(runtime="onnxruntime")
    runtime = get_runtime(asked.runtime, asked.options)
    in_force = conditions_of(runtime, threads=asked.threads, precision=asked.precision, batch=asked.batch)
    chosen = calibration_networks(found, networks, seed)
    known = [tuple(arch) for arch in chosen.tolist()]
    others = draw_unknown(found, held_out, np.random.default_rng(seed + 1), known)
    return plan_space(found, in_force, networks=chosen, held_out=others, effort=effort, seed=seed)
