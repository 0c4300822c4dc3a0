"""Tables of kernels with latencies of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache

from hwnas.graph.kernel import Kernel, KernelNode, Launch, Value
from hwnas.tables.device import Device
from hwnas.tables.kernel_table import FailedKernel, KernelTable, Launched, MeasuredKernel, MeasuredModel, Measuring
from hwnas.tables.protocol import MachineState

OF_CLASSES = {"convolution": "Conv", "product": "MatMul", "elementwise": "Relu", "moving": "Transpose"}
"""A kernel of each class."""


@cache
def kernel(op: str, size: int = 8) -> Kernel:
    """A node of ``op`` on ``size`` numbers; of Conv and MatMul one that gives as many, each made of all."""
    value = Value(dtype="float32", shape=(1, size) if op == "MatMul" else (1, size, 1, 1))
    if op in ("Conv", "MatMul"):
        weight = Value(dtype="float32", shape=(size, size) if op == "MatMul" else (size, size, 1, 1), constant=True)
        return Kernel(
            opset=17,
            nodes=(KernelNode(op=op, inputs=(0, 1), outputs=(2,)),),
            values=(value, weight, value),
            outputs=(2,),
        )
    return Kernel(opset=17, nodes=(KernelNode(op=op, inputs=(0,), outputs=(1,)),), values=(value, value), outputs=(1,))


def launch(op: str, size: int = 8) -> Launch:
    return Launch(f"{op.lower()}{size}", kernel(op, size))


def table(
    kernels: Mapping[str, float],
    *,
    models: Mapping[str, tuple[list[str], float]] | None = None,
    failed: Mapping[str, str] | None = None,
    threads: int = 1,
    sized: Mapping[tuple[str, int], float] | None = None,
) -> KernelTable:
    """``kernels`` are {op: ms}, ``sized`` {(op, size): ms}; ``models`` {name: (ops launched, ms)}."""
    every = {kernel(op): ms for op, ms in kernels.items()} | {kernel(*key): ms for key, ms in (sized or {}).items()}
    return KernelTable(
        device=Device(
            hardware="A processor", cores=2, os="Linux x86_64", runtime="onnxruntime", runtime_version="1.31.1",
            options={"provider": "cpu", "optimization": "all"}, precision="fp32", threads=threads, batch=1,
            clocks="unknown",
        ),
        measured=(
            Measuring(
                rounds=8, runs_per_round=2, warmup_runs=3, confidence_asked=0.02, confidence_95=0.01,
                unsteadiness_90=0.05, drift=1.0, clock_steps=0, reference="model a.onnx", affinity=(0, 1),
                before=MachineState(), after=MachineState(), seconds=9.0, seed=0,
                started="2026-11-01T12:00:00+00:00", python="3.11.2", hwnas="0.1.0",
            ),
        ),
        kernels=tuple(MeasuredKernel(kernel=each, **_runs(ms)) for each, ms in every.items()),
        failed=tuple(FailedKernel(kernel=kernel(op), reason=reason) for op, reason in (failed or {}).items()),
        models=tuple(
            MeasuredModel(
                name=name,
                sha256=hashlib.sha256(name.encode()).hexdigest(),
                launches=tuple(Launched(name=f"{at}", kernel=kernel(op).key) for at, op in enumerate(ops)),
                **_runs(ms),
            )
            for name, (ops, ms) in (models or {}).items()
        ),
    )  # fmt: skip


def _runs(ms: float) -> dict[str, float | int]:
    return {"p50_ms": ms, "p10_ms": ms, "p90_ms": ms, "count": 16, "confidence_95": 0.01}
