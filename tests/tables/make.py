"""Tables for tests: made up, so that their sums are known."""

from __future__ import annotations

import numpy as np

from hwnas.space.space import Space
from hwnas.tables.device import Device
from hwnas.tables.table import Latency, LatencyTable, Protocol, SpaceOfTable

DEVICE = Device(
    hardware="a test", cores=1, os="none", runtime="onnxruntime", runtime_version="0", precision="fp32", threads=1,
    batch=1, clocks="unknown",
)  # fmt: skip


def latency(p50_ms: float) -> Latency:
    return Latency(p50_ms=p50_ms, p10_ms=p50_ms * 0.9, p90_ms=p50_ms * 1.2, count=10)


def made_up_table(space: Space, seed: int = 0) -> LatencyTable:
    """Random latencies between 0.1 and 1 ms for every Op of ``space``; no networks, no calibration."""
    rng = np.random.default_rng(seed)
    return LatencyTable(
        device=DEVICE,
        space=SpaceOfTable.of(space),
        protocol=Protocol(
            rounds=1,
            runs_per_round=10,
            warmup_runs=0,
            unsteadiness_90=0.0,
            seconds=0.0,
            seed=0,
            started="2000-01-01",
            hwnas="0",
        ),
        ops={op: latency(round(float(rng.uniform(0.1, 1)), 6)) for op in space.distinct_ops},
    )
