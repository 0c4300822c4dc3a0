"""A plan, or a space -> its `LatencyTable` on this machine: ops and whole networks in the same rounds."""

from __future__ import annotations

import numpy.typing as npt

from hwnas.profiling.measure import check_threads, conditions_of
from hwnas.profiling.plan import Plan, models, plan_space, reader
from hwnas.profiling.result import table_of
from hwnas.profiling.run import run_plan
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Conditions
from hwnas.tables.table import LatencyTable


def profile_space(
    space: ChainSpace,
    runtime: Runtime,
    conditions: Conditions | None = None,
    *,
    networks: npt.ArrayLike,
    held_out: npt.ArrayLike = (),
    effort: Effort | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure every Op that a network of ``space`` may contain, and whole networks of it; no calibration yet.

    ``networks`` say how a sum of ops relates to a whole network (see :mod:`hwnas.prediction.calibrate`), ``held_out``
    are measured twice each, to hold predictions against (see :mod:`hwnas.prediction.validate`). ``conditions`` not
    given are one thread, fp32 and batch 1.

    Raises:
        ConfigError: more threads than processors.
        ModelError: the runtime can run none of the Ops.
    """
    asked = conditions or conditions_of(runtime)
    plan = plan_space(space, asked, networks=networks, held_out=held_out, effort=effort, seed=seed)
    return profile_plan(plan, space, runtime, progress=progress)


def profile_plan(plan: Plan, space: ChainSpace, runtime: Runtime, *, progress: Progress | None = None) -> LatencyTable:
    """Measure a plan of ``space`` on this machine; raises as :func:`profile_space`."""
    check_threads(plan.conditions.threads)
    prepared = models(plan, space, runtime, progress)
    result = run_plan(plan.plain(), [reader(model) for model in prepared.values()], runtime, progress=progress)
    return table_of(plan, result, "what was measured")
