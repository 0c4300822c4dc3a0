"""On this machine: models -> latencies, a plan -> its table; and what is to be said of how they were run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

import numpy as np

from hwnas.errors import ConfigError
from hwnas.profiling.machine import usable_cores
from hwnas.profiling.plan import Plan, models, reader
from hwnas.profiling.result import table_of
from hwnas.profiling.run import Model, device_facts, measure_loaded, run_plan
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Conditions, Device
from hwnas.tables.table import Latency, LatencyTable

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Latencies(Generic[_Key]):
    """What measuring gave; see :class:`hwnas.profiling.timer.Measurement` for the other attributes.

    Attributes:
        latency: of each model that runs.
        failed: why another doesn't.
    """

    latency: dict[_Key, Latency]
    failed: dict[_Key, str]
    confidence_95: float
    unsteadiness_90: float


def measure_models(
    readers: Mapping[_Key, Callable[[], Model]],
    runtime: Runtime,
    conditions: Conditions,
    *,
    rng: np.random.Generator,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Latencies[_Key]:
    """Latency of each prepared model, all in the same interleaved rounds, with stand-in inputs.

    Each of ``readers`` is called when its model is loaded, so that one at a time is in memory as a file. ``runtime`` is
    that of the conditions.

    Raises:
        ConfigError: more threads than processors.
        ModelError: the runtime can run none of the models, or the clock is unusable.
        DeviceError: they don't fit into memory.
    """
    check_threads(conditions.threads)
    measured = measure_loaded(
        list(readers.values()), runtime, threads=conditions.threads, precision=conditions.precision,
        effort=effort or Effort(), rng=rng, progress=progress,
    )  # fmt: skip
    keys, found = list(readers), measured.measurement
    ran = [key for index, key in enumerate(keys) if index not in measured.failed]
    return Latencies(
        {key: Latency(**asdict(statistics)) for key, statistics in zip(ran, found.statistics, strict=True)},
        {keys[index]: reason for index, reason in measured.failed.items()},
        found.confidence_95,
        found.unsteadiness_90,
    )


def another_device(table: LatencyTable, runtime: Runtime) -> str | None:
    """In what a table's device isn't this machine with a runtime, in words; None where it is."""
    was, here = table.device, device_of(runtime, table.device.conditions)
    if name := was.difference(here):
        return f"the table is of another device: {name} is {getattr(was, name)} there and {getattr(here, name)} here"
    return None


def measure_plan(plan: Plan, space: ChainSpace, runtime: Runtime, *, progress: Progress | None = None) -> LatencyTable:
    """The table of a plan of ``space``, ops and whole networks in the same rounds; not calibrated.

    Raises:
        ConfigError: more threads than processors.
        ModelError: the runtime can run none of the Ops.
    """
    check_threads(plan.conditions.threads)
    readers = models(plan, space, runtime, reader, progress)
    return table_of(plan, run_plan(plan.plain(), readers, runtime, progress=progress), "what was measured")


def conditions_of(runtime: Runtime, *, threads: int = 1, precision: str = "fp32", batch: int = 1) -> Conditions:
    """How ``runtime``, with its options, is to run networks.

    Raises:
        ConfigError: fewer than one thread or image, or a precision that the runtime hasn't.
    """
    if precision not in runtime.precisions:
        raise ConfigError(f"{runtime.name} runs {', '.join(runtime.precisions)}, not {precision!r}")
    for name, value in (("threads", threads), ("batch", batch)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    return Conditions(
        runtime=runtime.name, options=dict(runtime.options), precision=precision, threads=threads, batch=batch
    )


def device_of(runtime: Runtime, conditions: Conditions) -> Device:
    """This machine as ``runtime`` uses it under these conditions."""
    return Device(**{**device_facts(runtime), **dict(conditions)})


def check_threads(threads: int) -> None:
    """Raises:
    ConfigError: more threads than processors that this process may use, or fewer than one.
    """
    if not 1 <= threads <= usable_cores():
        raise ConfigError(f"threads must be 1 to {usable_cores()}, the processors this process may use, got {threads}")
