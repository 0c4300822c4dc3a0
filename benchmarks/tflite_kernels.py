"""What TensorFlow Lite launches on a phone, by the files of `tflite_csv`: as `Kernel`s, and as a `KernelTable`."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tflite_csv import TfliteNetwork, TfliteOp, read_networks, read_ops

from hwnas.graph.kernel import Kernel, KernelNode, Launch, Value
from hwnas.tables.device import NOT_SAID, Device
from hwnas.tables.kernel_table import KernelTable, Launched, MeasuredKernel, MeasuredModel, Measuring
from hwnas.tables.protocol import MachineState
from hwnas.tables.table import Latency

_OPERATORS = {"conv_2d_group": "CONV_2D", "sigmoid": "LOGISTIC"}
_OF_TWO = ("ADD", "MUL", "MINIMUM")


@dataclass(frozen=True)
class Phone:
    """What was measured on one.

    Attributes:
        device: as the files name it.
        launches: of each network, in order. What runs inside an earlier launch is in its kernel.
        launches_ms: latency of each of them.
        networks: the same networks, measured whole.
    """

    device: str
    launches: Mapping[str, tuple[Launch, ...]]
    launches_ms: Mapping[str, tuple[float, ...]]
    networks: Mapping[str, TfliteNetwork]

    def table(self, of_kernels: Collection[str]) -> KernelTable:
        """The kernels and the models of some of its networks; a kernel of several has the median of its latencies."""
        kernels: dict[str, Kernel] = {}
        runs_ms: dict[str, list[float]] = defaultdict(list)
        for name in of_kernels:
            for launch, ms in zip(self.launches[name], self.launches_ms[name], strict=True):
                assert launch.kernel
                kernels[launch.kernel.key] = launch.kernel
                runs_ms[launch.kernel.key].append(ms)
        return KernelTable(
            device=Device(
                hardware=self.device, cores=1, os=NOT_SAID, runtime="tflite", runtime_version=NOT_SAID, threads=1,
                precision="fp32", batch=1, clocks=NOT_SAID,
            ),
            measured=(_MEASURED,),
            kernels=tuple(MeasuredKernel(kernel=each, **dict(_latency(runs_ms[key]))) for key, each in kernels.items()),
            models=tuple(self._model(name) for name in of_kernels),
        )  # fmt: skip

    def _model(self, name: str) -> MeasuredModel:
        return MeasuredModel(
            name=name,
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            launches=tuple(Launched(name=e.name, kernel=e.kernel.key) for e in self.launches[name] if e.kernel),
            **dict(_latency([self.networks[name].mean_ms])),
        )


def read_phone(folder: Path, device: str) -> Phone:
    """Of a folder with both files.

    Raises:
        TableError: as :func:`tflite_csv.read_ops`.
    """
    ops: dict[str, list[TfliteOp]] = defaultdict(list)
    for op in read_ops(folder / "mobile_tflite_ops.csv", device).ops:
        if op.latency_ms:
            ops[op.network].append(op)
    networks = {each.name: each for each in read_networks(folder / "mobile_tflite_networks.csv", device).networks}
    return Phone(
        device,
        {name: tuple(Launch(op.compiled, kernel_of(op)) for op in ops[name]) for name in networks},
        {name: tuple(op.latency_ms or 0.0 for op in ops[name]) for name in networks},
        networks,
    )


def kernel_of(op: TfliteOp) -> Kernel:
    """An op and what is fused behind it. What the phone compiles it to isn't in it: that is known only there."""
    values = [_image(op.size_in, op.c_in)]
    if op.operation == "CONCATENATION":  # the file tells the channels of the first input alone
        values += [_image(op.size_in, (op.c_out - op.c_in) // max(op.inputs - 1, 1))] * (op.inputs - 1)
    elif weight := _weight(op):
        values.append(Value(dtype="float32", shape=weight, constant=True))
    windowed = op.kernel > 1 or op.stride > 1
    attributes = (("padded", int(is_padded(op))), ("stride", op.stride), ("window", op.kernel)) if windowed else ()
    nodes = [_node(op.operation, range(len(values)), len(values), attributes)]
    given = _image(op.size_out, op.c_out)
    values.append(given)
    for fused in op.fused:
        takes = [len(values) - 1]
        if fused.upper() in _OF_TWO:
            values.append(given)
            takes.append(len(values) - 1)
        nodes.append(_node(fused, takes, len(values)))
        values.append(given)
    return Kernel(opset=1, nodes=tuple(nodes), values=tuple(values), outputs=(len(values) - 1,))


def is_padded(op: TfliteOp) -> bool:
    """Whether an op of its own, which the file has no row for, has padded the input."""
    return op.kernel > 1 and op.size_in >= (op.size_out - 1) * op.stride + op.kernel


def _image(size: int, channels: int) -> Value:
    return Value(dtype="float32", shape=(1, size, size, channels))


def _weight(op: TfliteOp) -> tuple[int, ...] | None:
    """As TensorFlow Lite has it: filters first, channels last."""
    if op.operation == "DEPTHWISE_CONV_2D":
        return 1, op.kernel, op.kernel, op.c_out
    if op.operation in ("CONV_2D", "CONV_2D_GROUP"):
        return op.c_out, op.kernel, op.kernel, op.c_in // op.groups
    return (op.c_out, op.c_in) if op.operation == "FULLY_CONNECTED" else None


def _node(op: str, takes: Sequence[int], gives: int, attributes: tuple[tuple[str, int], ...] = ()) -> KernelNode:
    name = _OPERATORS.get(op.lower(), op.upper())
    return KernelNode(op=name, domain="tflite", attributes=attributes, inputs=tuple(takes), outputs=(gives,))


def _latency(runs_ms: Sequence[float]) -> Latency:
    p10_ms, p50_ms, p90_ms = np.quantile(runs_ms, (0.1, 0.5, 0.9)).tolist()
    return Latency(p10_ms=p10_ms, p50_ms=p50_ms, p90_ms=p90_ms, count=len(runs_ms))


_MEASURED = Measuring(
    rounds=1, runs_per_round=1, warmup_runs=0, confidence_asked=0.0, confidence_95=0.0, unsteadiness_90=0.0, drift=1.0,
    clock_steps=0, reference=NOT_SAID, affinity=(), before=MachineState(), after=MachineState(), seconds=0.0, seed=0,
    started="1970-01-01T00:00:00+00:00", python=NOT_SAID, hwnas=NOT_SAID,
)  # fmt: skip
"""The files don't tell how."""
