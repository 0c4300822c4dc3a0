"""Models -> latencies on this machine: what ``bench``, ``export`` and ``table validate`` measure with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

import numpy as np

from hwnas.errors import ConfigError, ModelError
from hwnas.profiling import machine
from hwnas.profiling.machine import usable_cores
from hwnas.profiling.run import Model, measure_loaded
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.tables.device import Device
from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Latencies(Generic[_Key]):
    """What measuring gave; see :class:`hwnas.profiling.timer.Measurement` for the attributes' meaning.

    Attributes:
        latency: of each model.
    """

    latency: dict[_Key, Latency]
    confidence_95: float
    unsteadiness_90: float


def measure_models(
    models: Mapping[_Key, Model],
    runtime: Runtime,
    *,
    threads: int,
    precision: str,
    rng: np.random.Generator,
    batch: int = 1,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Latencies[_Key]:
    """Latency of each prepared model, all in the same interleaved rounds, with random inputs.

    Raises:
        ConfigError: more threads than processors, or fewer than one.
        ModelError: the runtime can't run a model.
    """
    check_threads(threads)
    measured = measure_loaded(
        [lambda model=model: model for model in models.values()],  # type: ignore[misc]
        runtime,
        threads=threads,
        precision=precision,
        batch=batch,
        effort=effort or Effort(),
        rng=rng,
        progress=progress,
    )
    if measured.failed:
        raise ModelError(next(iter(measured.failed.values())))
    found = measured.measurement
    return Latencies(
        {key: Latency(**asdict(entry)) for key, entry in zip(models, found.statistics, strict=True)},
        found.confidence_95,
        found.unsteadiness_90,
    )


def device_of(runtime: Runtime, *, precision: str, threads: int, batch: int) -> Device:
    """This machine as ``runtime`` uses it."""
    described = machine.describe() | ({"hardware": name} if (name := runtime.accelerator()) else {})
    return Device(
        **described, runtime=runtime.name, runtime_version=runtime.version(), options=dict(runtime.options),
        precision=precision, threads=threads, batch=batch,
    )  # fmt: skip


def check_threads(threads: int) -> None:
    """Raises:
    ConfigError: more threads than processors that this process may use, or fewer than one.
    """
    if not 1 <= threads <= usable_cores():
        raise ConfigError(f"threads must be 1 to {usable_cores()}, the processors this process may use, got {threads}")
