"""The one measuring loop: everything built first, then many short rounds in a new random order each.

Timed one after the other, two copies of one network differ by 10 % and more on a shared machine, because its
speed drifts. Interleaved, the drift falls on all entries alike; the median of all runs is then steady, and
the minimum isn't (it rewards the entry that met the one quiet moment).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)


def measure(
    calls: Mapping[_Key, Callable[[], object]],
    *,
    rounds: int,
    runs_per_round: int,
    warmup_runs: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> dict[_Key, Latency]:
    """Latency of each call in milliseconds.

    Args:
        calls: ready to run; nothing is built here.
        rounds: passes over all calls, each in a new random order.
        runs_per_round: timed runs of one call in one pass; one untimed run goes before them, since the others
            have taken the caches.
        warmup_runs: untimed runs of each call before the first round.
        rng: draws the orders.
        progress: called with (rounds done, rounds) after each.
    """
    keys = list(calls)
    samples_ns = np.empty((len(keys), rounds, runs_per_round), dtype=np.int64)
    for call in calls.values():
        for _ in range(warmup_runs):
            call()
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be timed
    try:
        for round_index in range(rounds):
            for key_index in rng.permutation(len(keys)):
                samples_ns[key_index, round_index] = _time(calls[keys[key_index]], runs_per_round)
            if progress:
                progress(round_index + 1, rounds)
    finally:
        if collecting:
            gc.enable()
    return {key: _statistics(row.ravel()) for key, row in zip(keys, samples_ns, strict=True)}


def _time(call: Callable[[], object], runs: int) -> list[int]:
    clock = time.perf_counter_ns
    call()
    durations = []
    for _ in range(runs):
        start = clock()
        call()
        durations.append(clock() - start)
    return durations


def _statistics(samples_ns: npt.NDArray[np.int64]) -> Latency:
    p10, p50, p90 = (float(p) / 1e6 for p in np.percentile(samples_ns, (10, 50, 90)))
    return Latency(p50_ms=round(p50, 6), p10_ms=round(p10, 6), p90_ms=round(p90, 6), count=samples_ns.size)
