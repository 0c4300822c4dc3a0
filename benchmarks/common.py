"""What the benchmarks share: which machine this is, and side-by-side rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from hwnas.profile.timer import measure
from hwnas.tables.device import this_device
from hwnas.tables.table import Latency


def side_by_side(calls: Mapping[str, Callable[[], object]], rounds: int = 20, runs: int = 5) -> dict[str, Latency]:
    """Latency of each call, interleaved in random order, so that the machine's drift falls on all alike."""
    return measure(calls, rounds=rounds, runs_per_round=runs, warmup_runs=3, rng=np.random.default_rng(0)).latency


def machine() -> str:
    """One line that says what this was measured on."""
    device = this_device(
        runtime="torch", runtime_version=str(torch.__version__), precision="fp32", threads=1, batch=1
    )  # fmt: skip
    return f"{device.hardware}, {device.cores} cores, {device.os}, {time.strftime('%Y-%m-%d', time.gmtime())}"


def row(name: str, latency: Latency, note: str = "") -> str:
    """A line of a result."""
    return f"{name:<46} {latency.p50_ms:9.3f} ms  (p10 {latency.p10_ms:.3f}, p90 {latency.p90_ms:.3f})  {note}"
