"""Each kernel run once in a process apart on this machine, before many of them share one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hwnas.graph.kernel import Kernel
from hwnas.own_process import started
from hwnas.profiling.isolated import LIMIT_S, harmful, run_each
from hwnas.profiling.kernels import alone
from hwnas.progress import Progress
from hwnas.record import Record
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.device import Conditions


class _Asked(Record):
    conditions: Conditions
    kernels: tuple[Kernel, ...]


def not_to_be_run(
    kernels: Sequence[Kernel], conditions: Conditions, *, limit_s: float = LIMIT_S, progress: Progress | None = None
) -> dict[str, str]:
    """key -> why, of those kernels that are :func:`hwnas.profiling.isolated.harmful` to the process they run in."""
    with TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(_Asked(conditions=conditions, kernels=tuple(kernels)).model_dump_json(), "utf-8")
        found = harmful(len(kernels), partial(started, __name__, asked), limit_s=limit_s, progress=progress)
    return {kernels[index].key: why for index, why in found.items()}


def _main(asked: str, first: str) -> None:
    plan = _Asked.model_validate_json(Path(asked).read_text("utf-8"))
    how = plan.conditions
    models = [partial(alone, kernel) for kernel in plan.kernels[int(first) :]]
    run_each(models, get_runtime(how.runtime, how.options), threads=how.threads, precision=how.precision)


if __name__ == "__main__":
    _main(*sys.argv[1:])
