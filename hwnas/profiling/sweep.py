"""A space -> its `LatencyTable` on this machine: every distinct Op, and some whole networks, in the same rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt

from hwnas.errors import ModelError
from hwnas.profiling.measure import check_threads
from hwnas.profiling.plan import Plan, models, plan_space
from hwnas.profiling.result import table_of
from hwnas.profiling.run import Model, run_plan
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable


def profile_space(
    space: ChainSpace,
    runtime: Runtime,
    *,
    networks: npt.ArrayLike,
    held_out: npt.ArrayLike = (),
    threads: int = 1,
    precision: str = "fp32",
    batch: int = 1,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure every Op that a network of ``space`` may contain, and whole networks of it, given by their choices.

    ``networks`` say how a sum of ops relates to a whole network (see ``hwnas.prediction.calibrate``), ``held_out`` are
    measured twice each, to hold predictions against (see ``hwnas.prediction.validate``).

    Raises:
        ConfigError: more threads than processors, or fewer than one; a precision that the runtime hasn't.
        ModelError: the runtime can run none of the Ops.
    """
    plan = plan_space(
        space, runtime, networks=networks, held_out=held_out, threads=threads, precision=precision, batch=batch,
        seed=seed, effort=effort,
    )  # fmt: skip
    return carry_out(plan, space, runtime, progress=progress)


def carry_out(plan: Plan, space: ChainSpace, runtime: Runtime, *, progress: Progress | None = None) -> LatencyTable:
    """Measure a plan of ``space`` on this machine.

    Raises:
        ConfigError: more threads than processors.
        ModelError: the runtime can run none of the Ops.
    """
    check_threads(plan.threads)
    prepared = models(space, plan.entries(), runtime, plan.precision, progress)
    result = run_plan(plan.plain(), [_reader(model) for model in prepared.values()], runtime, progress=progress)
    return table_of(plan, result, "what was measured")


def _reader(model: Model | str) -> Callable[[], Model]:
    def read() -> Model:
        if isinstance(model, str):
            raise ModelError(model)
        return model

    return read
