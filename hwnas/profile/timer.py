"""The one measuring loop: everything built first, then many short rounds in a new random order each.

Timed one after the other, two copies of one network differ by 10 % and more on a shared machine, because its
speed drifts. Interleaved, the drift falls on all entries alike; the median of all runs is then steady, and
the minimum isn't (it rewards the entry that met the one quiet moment).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)

_MOST_ROUNDS = 2000


def measure(
    calls: Mapping[_Key, Callable[[], object]],
    *,
    rounds: int,
    runs_per_round: int,
    warmup_runs: int,
    rng: np.random.Generator,
    at_least_s: float = 0.0,
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
        at_least_s: more rounds are made, by the first one's time, if they would take less than this many seconds.
            A shared machine changes speed for seconds on end; short calls measured within one such spell would
            all be wrong alike.
        progress: called with (rounds done, rounds) after each.
    """
    keys = list(calls)
    samples_ns: list[list[int]] = [[] for _ in keys]
    for call in calls.values():
        for _ in range(warmup_runs):
            call()
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be timed
    try:
        begin, done = time.monotonic(), 0
        while done < rounds:
            for key_index in rng.permutation(len(keys)):
                samples_ns[key_index] += _time(calls[keys[key_index]], runs_per_round)
            done += 1
            if done == 1:
                rounds = max(rounds, min(_MOST_ROUNDS, math.ceil(at_least_s / (time.monotonic() - begin))))
            if progress:
                progress(done, rounds)
    finally:
        if collecting:
            gc.enable()
    return {key: _statistics(row) for key, row in zip(keys, samples_ns, strict=True)}


def _time(call: Callable[[], object], runs: int) -> list[int]:
    clock = time.perf_counter_ns
    call()
    durations = []
    for _ in range(runs):
        start = clock()
        call()
        durations.append(clock() - start)
    return durations


def _statistics(samples_ns: list[int]) -> Latency:
    p10, p50, p90 = (float(p) / 1e6 for p in np.percentile(samples_ns, (10, 50, 90)))
    return Latency(p50_ms=round(p50, 6), p10_ms=round(p10, 6), p90_ms=round(p90, 6), count=len(samples_ns))
