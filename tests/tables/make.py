"""Tables for tests: made up, so that their sums are known, or measured here in a second or two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.profiling.local import conditions_of, measure_plan
from hwnas.profiling.plan import plan_space
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.device import Device
from hwnas.tables.protocol import MachineState, Protocol
from hwnas.tables.table import Calibration, Latency, LatencyTable

DEVICE = Device(
    hardware="a test", cores=1, os="none", runtime="onnxruntime", runtime_version="0", precision="fp32", threads=1,
    batch=1, clocks="unknown",
)  # fmt: skip


def latency(p50_ms: float) -> Latency:
    return Latency(p50_ms=p50_ms, p10_ms=p50_ms * 0.9, p90_ms=p50_ms * 1.2, count=10)


def calibration(
    scale: float = 1.0, per_op_ms: float = 0.0, fixed_ms: float = 0.0, error_90: float = 0.03
) -> Calibration:
    return Calibration(
        scale=scale,
        per_op_ms={"op": per_op_ms} if per_op_ms else {},
        fixed_ms=fixed_ms,
        error_90=error_90,
        held_out_mape=0.01,
        networks=12,
    )


def made_up_table(space: ChainSpace, seed: int = 0) -> LatencyTable:
    """Random latencies between 0.1 and 1 ms for every Op of ``space``; no networks, no calibration."""
    rng = np.random.default_rng(seed)
    return LatencyTable(
        device=DEVICE,
        space=space.ref,
        protocol=Protocol(
            rounds=1,
            runs_per_round=10,
            warmup_runs=0,
            confidence_asked=0.02,
            confidence_95=0.01,
            unsteadiness_90=0.0,
            drift=1.0,
            clock_steps=0,
            reference="stem",
            affinity=(0,),
            before=MachineState(load=0.1),
            after=MachineState(load=0.2),
            seconds=0.0,
            seed=0,
            started="2000-01-01T00:00:00+00:00",
            python="3.11",
            hwnas="0",
        ),
        ops={op: latency(round(float(rng.uniform(0.1, 1)), 6)) for op in space.distinct_ops},
    )


def measured_table(
    space: ChainSpace, networks: npt.ArrayLike, effort: Effort, *, held_out: npt.ArrayLike = (), threads: int = 1
) -> LatencyTable:
    """Of this machine, by ONNX Runtime; not calibrated."""
    runtime = get_runtime("onnxruntime")
    conditions = conditions_of(runtime, threads=threads)
    plan = plan_space(space, conditions, networks=networks, held_out=held_out, effort=effort)
    return measure_plan(plan, space, runtime)
