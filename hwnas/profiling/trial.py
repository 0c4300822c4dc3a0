"""Each kernel run once in a process of its own, before many of them share one: what crashes or hangs is told, and left.

A kernel is cut out of its model, with weights and inputs to stand in for its own; some runtimes end the process over
what they find there, as over an integer division by zero.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hwnas.graph.kernel import Kernel
from hwnas.onnx.kernels import kernel_model
from hwnas.onnx.stand_in import stand_in
from hwnas.own_process import TooLateError, ended, line, started
from hwnas.progress import Progress
from hwnas.record import Record
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.device import Conditions

LIMIT_S = 30.0
"""For one kernel to be loaded and run once."""


class _Asked(Record):
    conditions: Conditions
    kernels: tuple[Kernel, ...]


def not_to_be_run(
    kernels: Sequence[Kernel], conditions: Conditions, *, limit_s: float = LIMIT_S, progress: Progress | None = None
) -> dict[str, str]:
    """key -> why, of those kernels that end the process they run in, or don't end within ``limit_s``.

    What merely fails isn't among them: a runtime says so itself.
    """
    found: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(_Asked(conditions=conditions, kernels=tuple(kernels)).model_dump_json(), "utf-8")
        done = 0
        while done < len(kernels):
            with started(__name__, asked, done) as process:
                try:
                    while done < len(kernels) and line(process, limit_s).endswith(b"\n"):
                        done += 1
                        if progress:
                            progress("trying kernels", done, len(kernels), f"{len(found)} crash" if found else "")
                    why = "" if done == len(kernels) else f"ends with {ended(process)}"
                except TooLateError:
                    why = f"takes longer than {limit_s:g} s"
            if why:
                found[kernels[done].key] = f"the process that runs it {why}"
                done += 1
    return found


def _main(asked: str, first: str) -> None:
    plan = _Asked.model_validate_json(Path(asked).read_text("utf-8"))
    how = plan.conditions
    runtime = get_runtime(how.runtime, how.options)
    for kernel in plan.kernels[int(first) :]:
        data, inputs = kernel_model(kernel)
        try:
            session = runtime.load(data, threads=how.threads, precision=how.precision, as_is=True)
            session.run([stand_in(port) for port in inputs])
        except Exception as error:  # whatever a runtime raises; it raises it again, and is told, when it is measured
            del error
        print(flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
