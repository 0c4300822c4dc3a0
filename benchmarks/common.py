"""What the benchmarks share: which machine this is, and side-by-side rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwnas.profiling.machine import describe
from hwnas.profiling.timer import Effort, Statistics, measure


def side_by_side(calls: Mapping[str, Callable[[], Any]], rounds: int = 20, runs: int = 5) -> dict[str, Statistics]:
    """Statistics of each call, interleaved in random order, so that the machine's drift falls on all alike."""
    effort = Effort(rounds=rounds, runs_per_round=runs, at_least_s=0, at_most_s=0)
    found = measure(list(calls.values()), effort, np.random.default_rng(0))
    return dict(zip(calls, found.statistics, strict=True))


def machine() -> str:
    """One line that says what this was measured on."""
    found = describe()
    return f"{found['hardware']}, {found['cores']} cores, {found['os']}, {time.strftime('%Y-%m-%d', time.gmtime())}"


def row(name: str, latency: Statistics, note: str = "") -> str:
    """A line of a result."""
    return f"{name:<46} {latency.p50_ms:9.3f} ms  (p10 {latency.p10_ms:.3f}, p90 {latency.p90_ms:.3f})  {note}"
