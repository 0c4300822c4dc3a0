"""`KernelTable`: latency of kernels on one `Device`, and of whole models made of them; what prices anyone's network.

A file of JSON with an entry a line (schema 2; every time in milliseconds)::

    {"schema": "hwnas-kernel-table/2",
     "device": {"hardware": …, "runtime": "onnxruntime", …},
     "measured": [{"rounds": 40, …, "hwnas": "0.1.0"}],
     "calibration": {"scales": {"convolution": 0.99, …}, "per_launch_ms": 0.001, …, "error_90": 0.05, …},
     "kernels": [
      {"kernel": {"opset": 17, "nodes": […], "values": […], "outputs": [3]}, "p50_ms": 0.61, …}],
     "failed": [
      {"kernel": {…}, "reason": "why the runtime can't run it alone"}],
     "models": [
      {"name": "resnet50.onnx", "sha256": …, "launches": [{"name": "conv1", "kernel": "9f3c…"}, …], "p50_ms": 30.2, …}]}

``launches`` are the nodes of the graph that the runtime made of a model, in order, by the key of each one's kernel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from hwnas.errors import TableError, counted
from hwnas.files import plain_file, read_text, write_atomic
from hwnas.graph.kernel import Kernel, Launch
from hwnas.parse import parse_json
from hwnas.record import Factor, FileRecord, Record, Sha256, ShortText, Some
from hwnas.tables.device import Device
from hwnas.tables.protocol import Protocol, Share
from hwnas.tables.table import Latency

KernelKey = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


Milliseconds = Annotated[float, Field(gt=-1e6, lt=1e6)]


class Measuring(Protocol):
    """How part of a table was measured.

    Attributes:
        slowdown: how much longer kernels of earlier parts took than when they were measured (ratio, median); the times
            of this part are divided by it, so that all of a table are of one speed of the machine.
    """

    slowdown: Factor = 1.0


KernelClass = Literal["convolution", "product", "elementwise", "moving"]
"""What kernels of one scale have in common, see :func:`hwnas.prediction.kernel_calibration.class_of`."""


class KernelCalibration(Record):
    """What measured models say about their kernels; see :mod:`hwnas.prediction.kernel_calibration`.

    Attributes:
        scales: of what the kernels of each class take alone.
        per_launch_ms: for handing on from one kernel to the next.
        per_weight_mb_ms: for weights that are farther off in a model than alone.
        fixed_ms: for the model itself.
        error_90: half-width, relative, of the interval that should hold 90 % of new models, at the machine's speed as
            it was when the table was made.
        held_out_mape: mean absolute relative error of each model, predicted by a fit on the others.
        models: whose.
    """

    scales: Mapping[KernelClass, Annotated[float, Field(gt=-100, lt=100)]]
    per_launch_ms: Milliseconds
    per_weight_mb_ms: Milliseconds
    fixed_ms: Milliseconds
    error_90: Annotated[float, Field(ge=0, lt=100)]
    held_out_mape: Share
    models: Some

    @model_validator(mode="after")
    def _all_classes(self) -> Self:
        if self.scales.keys() != set(get_args(KernelClass)):
            raise ValueError(f"scales needs {', '.join(get_args(KernelClass))}")
        return self

    def __str__(self) -> str:
        terms = [f"{scale:.3f} × its {name} kernels" for name, scale in self.scales.items()]
        terms += [f"{self.per_launch_ms * 1e3:+.2f} µs per kernel", f"{self.fixed_ms:+.3f} ms"]
        terms += [f"{self.per_weight_mb_ms * 1e3:+.0f} µs per MB of products' weights"] if self.per_weight_mb_ms else []
        return (
            f"{' '.join(terms)}; {counted(self.models, 'model')}, each predicted by the others, "
            f"{self.held_out_mape:.1%} off on average, 90 % within ±{self.error_90:.1%}"
        )


class MeasuredKernel(Latency):
    """One kernel, timed alone; the share of one copy where several were timed at once."""

    kernel: Kernel


class FailedKernel(Record):
    """A kernel that the runtime can't run alone."""

    kernel: Kernel
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Launched(Record):
    """A node of the graph that a runtime made of a model.

    Attributes:
        name: of the model's own node, or nodes.
        kernel: the key of its kernel; None where it can't be cut out alone.
        uncut: why it can't.
    """

    name: str
    kernel: KernelKey | None = None
    uncut: str = ""


class MeasuredModel(Latency):
    """A whole model, timed beside its kernels.

    Attributes:
        name: its file, or whatever else it was asked for as.
        sha256: of the model, its shapes fixed.
    """

    name: ShortText
    sha256: Sha256
    launches: Annotated[tuple[Launched, ...], Field(min_length=1)]

    def launched(self, kernels: Mapping[str, Kernel]) -> tuple[Launch, ...]:
        """Its launches with the kernels themselves, which are given by their keys."""
        return tuple(Launch(e.name, kernels[e.kernel] if e.kernel else None, e.uncut) for e in self.launches)


class KernelTable(FileRecord):
    """Latencies of kernels, and of models, on one device; see the module's docstring for the file.

    Attributes:
        device: its ``batch`` is 1; kernels and models have theirs in their shapes.
        measured: how, once for each measuring that went into the table.
        calibration: what models say about the sum of their kernels; None while there are too few.
    """

    SCHEMA = "hwnas-kernel-table/2"
    REMEDY = "profile again"
    ERROR = TableError

    device: Device
    measured: Annotated[tuple[Measuring, ...], Field(min_length=1)]
    calibration: KernelCalibration | None = None
    kernels: tuple[MeasuredKernel, ...]
    failed: tuple[FailedKernel, ...] = ()
    models: tuple[MeasuredModel, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [*(entry.kernel.key for entry in self.kernels), *(entry.kernel.key for entry in self.failed)]
        if len(set(keys)) < len(keys):
            raise ValueError("a kernel is there twice")
        known = set(keys)
        for model in self.models:
            if lost := [each.name for each in model.launches if each.kernel and each.kernel not in known]:
                raise ValueError(f"{model.name} launches a kernel that isn't there, as {lost[0]}")
        if len({model.sha256 for model in self.models}) < len(self.models):
            raise ValueError("a model is there twice")
        return self

    @cached_property
    def by_key(self) -> Mapping[str, MeasuredKernel]:
        """Of the kernels that were measured."""
        return {entry.kernel.key: entry for entry in self.kernels}

    @cached_property
    def why_failed(self) -> Mapping[str, str]:
        """Key of a kernel -> why the runtime can't run it alone."""
        return {entry.kernel.key: entry.reason for entry in self.failed}

    @classmethod
    def read(cls, path: Path | str) -> KernelTable:
        path = Path(path)
        text = read_text(path, TableError)
        if text.startswith("schema: hwnas-latency-table/"):
            raise TableError(f"{path} is a table of a space's ops; hwnas profile MODEL -o TABLE makes one of kernels")
        return cls.of_plain(parse_json(text, path, TableError), path)

    def to_text(self) -> str:
        """The file: JSON, one line per entry, so that two tables can be compared line by line."""
        parts = []
        for name, value in self.plain().items():
            if isinstance(value, list):
                rows = ",\n".join(f" {json.dumps(row, ensure_ascii=False)}" for row in value)
                parts.append(f"{json.dumps(name)}: [\n{rows}]" if value else f"{json.dumps(name)}: []")
            else:
                parts.append(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
        return "{" + ",\n".join(parts) + "}\n"

    def save(self, path: Path | str) -> None:
        """Write the table, whole or not at all.

        Raises:
            OutputError: the file can't be written.
        """
        write_atomic(Path(path), self.to_text())


def is_kernel_table(given: object) -> bool:
    """Whether it is the path of a file that says so in its first line; what can't be read is none."""
    if not isinstance(given, Path | str):
        return False
    with suppress(OSError, TableError), open(plain_file(Path(given), TableError), "rb") as opened:
        return KernelTable.SCHEMA.partition("/")[0].encode() in opened.readline(200)
    return False


def check_same_device(known: KernelTable, device: Device) -> None:
    """Raises:
    TableError: what a table knows is of another device.
    """
    if differs := known.device.difference(device):
        was, here = getattr(known.device, differs), getattr(device, differs)
        raise TableError(f"a known table is of another device: {differs} is {was} there and {here} here")


def merged(tables: Sequence[KernelTable]) -> KernelTable:
    """One table of several of one device; of what is in two of them, the first's entry. It isn't calibrated.

    Raises:
        TableError: they are of different devices.
    """
    first, *others = tables
    for other in others:
        if name := first.device.difference(other.device):
            was, now = getattr(first.device, name), getattr(other.device, name)
            raise TableError(f"tables of two devices can't be merged: {name} is {was} and {now}")
    known = {each.kernel.key: each for table in reversed(tables) for each in table.kernels}
    failed = {each.kernel.key: each for table in reversed(tables) for each in table.failed}
    return KernelTable(
        device=first.device,
        measured=tuple(dict.fromkeys(each for table in tables for each in table.measured)),
        kernels=tuple(known.values()),
        failed=tuple(each for key, each in failed.items() if key not in known),
        models=tuple(_once(tables)),
    )


def _once(tables: Sequence[KernelTable]) -> Iterable[MeasuredModel]:
    return {model.sha256: model for table in reversed(tables) for model in table.models}.values()
