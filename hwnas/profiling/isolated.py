"""Models run once each in a process apart, before many of them share one: what crashes or hangs it is told, and left.

A kernel is cut out of its model, with weights and inputs to stand in for its own; some runtimes end the process over
what they find there, as over an integer division by zero.

Part of profiling kits: Python ≥ 3.8, standard library and numpy only.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hwnas.onnx.stand_in import stand_in
from hwnas.own_process import TooLateError, ended, line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from hwnas.profiling.run import Model
    from hwnas.progress import Progress
    from hwnas.runtimes.base import Runtime

LIMIT_S = 30.0
"""For one model to be loaded and run once."""


def harmful(
    count: int,
    start: Callable[[int], AbstractContextManager[subprocess.Popen[bytes]]],
    *,
    limit_s: float = LIMIT_S,
    progress: Progress | None = None,
) -> dict[int, str]:
    """index -> why, of ``count`` models those that end the process they run in, or don't end within ``limit_s``.

    ``start(index)`` starts a process that does :func:`run_each` with the models from that index on. What merely fails
    isn't among the harmful: a runtime says so itself.
    """
    found: dict[int, str] = {}
    done = 0
    while done < count:
        with start(done) as process:
            try:
                while done < count and line(process, limit_s).endswith(b"\n"):
                    done += 1
                    if progress:
                        progress("trying kernels", done, count, f"{len(found)} crash" if found else "")
                why = "" if done == count else f"ends with {ended(process)}"
            except TooLateError:
                why = f"takes longer than {limit_s:g} s"
        if why:
            found[done] = f"the process that runs it {why}"
            done += 1
    return found


def run_each(models: Iterable[Callable[[], Model]], runtime: Runtime, *, threads: int, precision: str) -> None:
    """Load and run each model once, and write a line after each."""
    for read in models:
        if hasattr(signal, "alarm"):  # ends this process in whatever native code, should nobody be left who would
            signal.alarm(int(2 * LIMIT_S))
        try:
            model = read()
            session = runtime.load(model.data, threads=threads, precision=precision, as_is=model.as_is)
            session.run([stand_in(port) for port in model.inputs])
        except Exception as error:  # whatever a runtime raises; it raises it again, and is told, when it is measured
            del error
        print(flush=True)
