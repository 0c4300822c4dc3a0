"""Models -> latencies: load every model first, then let the timer interleave them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hwnas.errors import ConfigError
from hwnas.profile.timer import Measurement, measure
from hwnas.runtimes.base import Runtime
from hwnas.tables.device import usable_cores

Progress = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all)"""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: see :func:`hwnas.profile.timer.measure`, which has the same names."""

    rounds: int = 16
    runs_per_round: int = 6
    warmup_runs: int = 3
    at_least_s: float = 8.0


@dataclass(frozen=True)
class Model:
    """A serialized ONNX model and the (C, H, W) of its input."""

    onnx: bytes
    input_chw: tuple[int, int, int]


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
) -> Measurement[_Key]:
    """Latency of each model, all in the same interleaved rounds, with random inputs.

    Raises:
        ConfigError: more threads than processors, or fewer than one.
        ModelError: the runtime can't run a model.
    """
    check_threads(threads)
    effort = effort or Effort()
    calls = {}
    for index, (key, model) in enumerate(models.items()):
        session = runtime.load(model.onnx, threads=threads, precision=precision)
        calls[key] = session.bind(rng.standard_normal((batch, *model.input_chw), dtype=np.float32))
        if progress:
            progress("loading", index + 1, len(models))
    return measure(
        calls,
        rounds=effort.rounds,
        runs_per_round=effort.runs_per_round,
        warmup_runs=effort.warmup_runs,
        at_least_s=effort.at_least_s,
        rng=rng,
        progress=(lambda done, total: progress("measuring", done, total)) if progress else None,
    )


def check_threads(threads: int) -> None:
    """Raises:
    ConfigError: more threads than processors that this process may use, or fewer than one.
    """
    if not 1 <= threads <= usable_cores():
        raise ConfigError(f"threads must be 1 to {usable_cores()}, the processors this process may use, got {threads}")
