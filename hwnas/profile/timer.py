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
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)

_MOST_ROUNDS = 20_000


@dataclass(frozen=True)
class Measurement(Generic[_Key]):
    """What a measuring gave.

    Attributes:
        latency: of each call, in milliseconds.
        unsteadiness_90: half-width, relative, of the range that holds the middle 90 % of the machine's speeds from
            one second to the next: what keeps a measurement at another moment from agreeing with this one.
    """

    latency: dict[_Key, Latency]
    unsteadiness_90: float


def measure(
    calls: Mapping[_Key, Callable[[], object]],
    *,
    rounds: int,
    runs_per_round: int,
    warmup_runs: int,
    rng: np.random.Generator,
    at_least_s: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement[_Key]:
    """Latency of each call, and how steady the machine was meanwhile.

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
    samples_ns: list[list[list[int]]] = [[] for _ in keys]
    for call in calls.values():
        for _ in range(warmup_runs):
            call()
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be timed
    try:
        begin, done = time.monotonic(), 0
        while done < rounds:
            for key_index in rng.permutation(len(keys)):
                samples_ns[key_index].append(_time(calls[keys[key_index]], runs_per_round))
            done += 1
            if done == 1:
                rounds = max(rounds, min(_MOST_ROUNDS, math.ceil(at_least_s / (time.monotonic() - begin))))
            if progress:
                progress(done, rounds)
        seconds = time.monotonic() - begin
    finally:
        if collecting:
            gc.enable()
    samples = np.array(samples_ns)
    latency = {key: _statistics(rows) for key, rows in zip(keys, samples, strict=True)}
    return Measurement(latency, _unsteadiness(samples, seconds))


def _time(call: Callable[[], object], runs: int) -> list[int]:
    clock = time.perf_counter_ns
    call()
    durations = []
    for _ in range(runs):
        start = clock()
        call()
        durations.append(clock() - start)
    return durations


def _unsteadiness(samples_ns: npt.NDArray[np.int64], seconds: float) -> float:
    """Of samples (calls, rounds, runs): slowness of each second or so, relative to the whole; half its 90 % range."""
    of_rounds = np.median(samples_ns, axis=2)
    slowness = (of_rounds / np.median(of_rounds, axis=1, keepdims=True)).mean(axis=0)
    parts = np.array_split(slowness, min(len(slowness), max(1, int(seconds))))
    low, high = np.percentile([part.mean() for part in parts], (5, 95))
    return float((high - low) / 2)


def _statistics(samples_ns: npt.NDArray[np.int64]) -> Latency:
    p10, p50, p90 = (float(p) / 1e6 for p in np.percentile(samples_ns, (10, 50, 90)))
    return Latency(p50_ms=round(p50, 6), p10_ms=round(p10, 6), p90_ms=round(p90, 6), count=samples_ns.size)
