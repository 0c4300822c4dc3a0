"""A plan, carried out on the device: load every model, measure all in the same rounds, say what came out.

The same code runs here, in a kit and at the far end of ssh. Part of profiling kits: Python ≥ 3.8, numpy only.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hwnas.errors import DeviceError, KitError, ModelError
from hwnas.onnx.stand_in import stand_in
from hwnas.profiling import machine
from hwnas.profiling.timer import ClockError, Effort, Measurement, measure, round_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hwnas.arrays import Port
    from hwnas.profiling.journal import FileJournal
    from hwnas.progress import Progress
    from hwnas.runtimes.base import Runtime

RESULT_SCHEMA = "hwnas-result/1"
_PROGRESS_STEPS = 1000
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "allocate memory", "out of memory")  # in runtimes' own words


class Model(NamedTuple):
    """What is loaded and measured.

    Attributes:
        data: as a runtime's ``prepare`` gave it.
        inputs: what it takes, in its order.
        as_is: see :meth:`hwnas.runtimes.base.Runtime.load`.
        copies: of what is measured, that it runs one after the other; the latency is one copy's.
    """

    data: bytes
    inputs: tuple[Port, ...]
    as_is: bool = False
    copies: int = 1


class Measured(NamedTuple):
    """What measuring some models gave.

    Attributes:
        measurement: of those that run, in their order.
        failed: index -> why the runtime can't run it.
        copies: of each that runs.
        earlier_s: seconds that rounds of earlier processes took.
    """

    measurement: Measurement
    failed: dict[int, str]
    copies: list[int]
    earlier_s: float


def measure_loaded(
    models: Sequence[Callable[[], Model]],
    runtime: Runtime,
    *,
    threads: int,
    precision: str,
    effort: Effort,
    rng: np.random.Generator,
    journal: FileJournal | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Load all models, then time them with stand-in inputs, all in the same rounds.

    Raises:
        ModelError: the runtime can run none of them, or the clock is unusable.
        KitError: a model is damaged.
        DeviceError: they don't fit into memory.
    """
    calls: list[Any] = []
    copies: list[int] = []
    failed: dict[int, str] = {}
    for index, read in enumerate(models):
        try:
            model = read()
            session = runtime.load(model.data, threads=threads, precision=precision, as_is=model.as_is)
            call = session.bind([stand_in(port, rng) for port in model.inputs])
            call()
        except KitError:
            raise
        except Exception as problem:  # whatever a runtime raises: the rest goes on
            if isinstance(problem, MemoryError) or any(words in str(problem) for words in _OUT_OF_MEMORY):
                raise DeviceError(  # says nothing about this entry, and the next would meet it as well
                    f"out of memory with {index} of {len(models)} models loaded; free some, or measure fewer models "
                    "(of a space fewer --networks and --held-out)"
                ) from None
            failed[index] = (str(problem).splitlines() or [type(problem).__name__])[0][:300]
        else:
            calls.append(call)
            copies.append(model.copies)
        if progress:
            progress("loading", index + 1, len(models), f"{len(failed)} failed" if failed else "")
    if not calls:
        raise ModelError(f"{runtime.name} can run none of {len(models)} models; the first: {failed[0]}")
    earlier, reference = journal.resume(failed) if journal else ([], None)

    def in_steps(share: float, note: str) -> None:
        if progress:
            progress("measuring", int(share * _PROGRESS_STEPS), _PROGRESS_STEPS, note)

    try:
        measurement = measure(
            calls, effort, rng, earlier=earlier, reference=reference, on_round=journal.keep if journal else None,
            progress=in_steps,
        )  # fmt: skip
    except ClockError as problem:
        raise ModelError(str(problem)) from None
    return Measured(measurement, failed, copies, sum(map(round_seconds, earlier)))


def run_plan(
    plan: dict[str, Any],
    models: Sequence[Callable[[], Model]],
    runtime: Runtime,
    *,
    journal: FileJournal | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure what ``plan`` (see :class:`hwnas.profiling.plan.Plan`) asks for.

    ``models`` read the model of each of the plan's entries; ``journal`` keeps each round, and has those of an earlier
    process.

    Returns:
        Plain values for JSON, see :class:`hwnas.profiling.result.Result`: each entry's statistics in milliseconds or
        why it failed, the device, its state before and after, how well the medians are known.

    Raises:
        ModelError: nothing of the plan can be run.
        DeviceError: the models don't fit into memory.
    """
    started, begin = datetime.now(timezone.utc), time.monotonic()  # noqa: UP017  (Python 3.8)
    before = machine.state()
    asked = plan["conditions"]
    measured = measure_loaded(
        models, runtime, threads=asked["threads"], precision=asked["precision"],
        effort=Effort(**plan["effort"]), rng=np.random.default_rng(plan["seed"]), journal=journal, progress=progress,
    )  # fmt: skip
    found = measured.measurement
    entries: list[dict[str, Any]] = [{"failed": measured.failed.get(index)} for index in range(len(models))]
    running = [index for index in range(len(models)) if index not in measured.failed]
    for index, statistics, copies in zip(running, found.statistics, measured.copies):  # noqa: B905  (Python 3.8)
        values = asdict(statistics)
        for name in ("p50_ms", "p10_ms", "p90_ms"):
            values[name] /= copies
        entries[index] = {name: _rounded(value) for name, value in values.items()}
    return {
        "schema": RESULT_SCHEMA,
        "device": device_facts(runtime),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begin + measured.earlier_s, 1),
        "rounds": found.rounds,
        "reference": running[found.reference],
        "confidence_95": _rounded(found.confidence_95),
        "unsteadiness_90": _rounded(found.unsteadiness_90),
        "drift": _rounded(found.drift),
        "clock_steps": found.clock_steps,
        "affinity": machine.affinity(),
        "before": before,
        "after": machine.state(),
        "entries": entries,
    }  # fmt: skip


def device_facts(runtime: Runtime) -> dict[str, Any]:
    """What :class:`hwnas.profiling.result.MeasuredOn` holds, of this machine."""
    described = machine.describe()
    return {
        **described,
        "hardware": runtime.accelerator() or described["hardware"],
        "runtime": runtime.name,
        "runtime_version": runtime.version(),
        "options": dict(runtime.options),
    }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 6)
