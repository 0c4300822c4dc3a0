"""Reads per-op and whole-network CSVs of CNNs measured by TensorFlow Lite's benchmark tool on phones.

The layout is that of qed-usc/mobile-ml-benchmark (MIT). One row of the ops' file is one op of one network::

    model,operation,feature,pixel4|gpu|float,pixel4|gpu|kernel,…
    resnet10,CONV_2D,"{'Input_shape': '56', 'Input_channel': 64, …}",828.48,convolution_2d_3_linked_:_relu_4,…

``feature`` is a Python literal, ``<device>|float`` a time in µs, empty for an op that was fused into an earlier one,
``<device>|kernel`` what the runtime compiled the op to, with the numbers of the nodes fused into it. One row of the
networks' file is a whole network, with ``<device>|float|mean`` and ``<device>|float|std`` in µs. Here all is in ms.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import TableError
from hwnas.tables.importers.foreign import MS_PER, Unit
from hwnas.tables.protocol import Provenance

_UNIT: Unit = "us"
_NOTE = "means of runs at batch 1; times of ops are from the runtime's own profiler"

_CONVOLUTIONS = ("CONV_2D", "CONV_2D_GROUP", "DEPTHWISE_CONV_2D")
_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
_OPERATIONS = (*_CONVOLUTIONS, *_POOLS, "MEAN", "CONCATENATION", "FULLY_CONNECTED")


@dataclass(frozen=True, kw_only=True)
class TfliteOp:
    """One op of one network, batch 1, square images.

    Attributes:
        network: the name of its network.
        operation: TensorFlow Lite's name, as ``CONV_2D``.
        size_in, size_out: height and width in pixels, explicit padding included; 1 where there is no image.
        c_in, c_out: channels; ``c_in`` of a concatenation is the first input's.
        kernel, stride, groups: of convolutions and pools, else 1.
        inputs: how many tensors a concatenation joins, else 1.
        latency_ms: None for an op fused into an earlier one.
        compiled: the runtime's kernel without node numbers, as ``convolution_2d``.
        fused: what was fused behind it, as ``("add", "relu")``.
    """

    network: str
    operation: str
    size_in: int
    size_out: int
    c_in: int
    c_out: int
    kernel: int
    stride: int
    groups: int
    inputs: int
    latency_ms: float | None
    compiled: str
    fused: tuple[str, ...]


@dataclass(frozen=True)
class TfliteOps:
    """All ops of all networks on one device, in the file's order."""

    device: str
    provenance: Provenance
    ops: tuple[TfliteOp, ...]


@dataclass(frozen=True)
class TfliteNetwork:
    """A whole network: mean and standard deviation of its runs, ms."""

    name: str
    mean_ms: float
    std_ms: float


@dataclass(frozen=True)
class TfliteNetworks:
    """All whole networks on one device, in the file's order."""

    device: str
    provenance: Provenance
    networks: tuple[TfliteNetwork, ...]


def devices(path: Path) -> tuple[str, ...]:
    """The devices of either file, as its columns name them: ``pixel4|gpu``.

    Raises:
        TableError: the file can't be read.
    """
    _, columns, _ = _read(path)
    return tuple(dict.fromkeys(c.partition("|float")[0] for c in columns if c.endswith(("|float", "|float|mean"))))


def read_ops(path: Path, device: str) -> TfliteOps:
    """One device's times of every op.

    Raises:
        TableError: the file can't be read, lacks a column, or a row is malformed; names file, row and column.
    """
    provenance, columns, rows = _read(path)
    time, compiled = f"{device}|float", f"{device}|kernel"
    _require(path, columns, "model", "operation", "feature", time, compiled)
    return TfliteOps(device, provenance, tuple(_op(row, time, compiled) for row in rows))


def read_networks(path: Path, device: str) -> TfliteNetworks:
    """One device's times of every whole network.

    Raises:
        TableError: as :func:`read_ops`, or a network stands twice.
    """
    provenance, columns, rows = _read(path)
    mean, std = f"{device}|float|mean", f"{device}|float|std"
    _require(path, columns, "model", mean, std)
    networks: dict[str, TfliteNetwork] = {}
    for row in rows:
        name = row.text("model")
        if name in networks:
            raise row.error("model", f"{name!r} stands twice; remove one")
        networks[name] = TfliteNetwork(name, row.ms(mean), row.ms(std))
    return TfliteNetworks(device, provenance, tuple(networks.values()))


@dataclass(frozen=True)
class _Row:
    """A row that can say where it stands."""

    path: Path
    number: int  # the header is 1
    cells: dict[str, str]

    def error(self, column: str, problem: str) -> TableError:
        return TableError(f"{self.path}: row {self.number}, column {column}: {problem}")

    def text(self, column: str) -> str:
        if not (value := self.cells[column].strip()):
            raise self.error(column, "is empty")
        return value

    def ms(self, column: str) -> float:
        try:
            value = float(self.cells[column]) * MS_PER[_UNIT]
        except ValueError:
            value = math.nan
        if not (value > 0 and math.isfinite(value)):
            raise self.error(column, f"must be a time in {_UNIT}, a positive number, got {self.cells[column]!r}")
        return value


def _read(path: Path) -> tuple[Provenance, list[str], Iterator[_Row]]:
    try:
        data = path.read_bytes()
        lines = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    except OSError as problem:
        raise TableError(f"can't read {path}: {problem.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise TableError(f"{path} isn't a UTF-8 CSV: {problem}") from None
    if len(lines) < 2:
        raise TableError(f"{path} has no rows; it needs a header and a row per op or network")
    columns = lines[0]

    def rows() -> Iterator[_Row]:
        for number, cells in enumerate(lines[1:], 2):
            if len(cells) != len(columns):
                raise TableError(f"{path}: row {number} has {len(cells)} columns, the header {len(columns)}")
            yield _Row(path, number, dict(zip(columns, cells, strict=True)))

    provenance = Provenance(
        file=path.name, sha256=hashlib.sha256(data).hexdigest(), format="tflite-csv", unit=_UNIT, note=_NOTE
    )
    return provenance, columns, rows()


def _require(path: Path, columns: list[str], *needed: str) -> None:
    if missing := [column for column in needed if column not in columns]:
        raise TableError(f"{path} has no column {missing[0]!r}; it has {', '.join(columns)}")


def _op(row: _Row, time: str, compiled: str) -> TfliteOp:
    operation = row.text("operation")
    if operation not in _OPERATIONS:
        raise row.error("operation", f"must be one of {', '.join(_OPERATIONS)}, got {operation!r}")
    feature = _feature(row)

    def integer(name: str) -> int:
        value = feature.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise row.error("feature", f"{name} must be a positive number, got {value!r}")
        return value

    windowed = operation in _CONVOLUTIONS or operation in _POOLS
    has_filters = operation in ("CONV_2D", "CONV_2D_GROUP", "CONCATENATION", "FULLY_CONNECTED")
    has_image_out = windowed or operation == "CONCATENATION"  # a MEAN has its channels there
    c_in = integer("Input_channel")
    latency_ms = row.ms(time) if row.cells[time].strip() else None
    first, *rest = (row.cells[compiled] if latency_ms is None else row.text(compiled)).split("_linked_:_")
    return TfliteOp(
        network=row.text("model"),
        operation=operation,
        size_in=1 if operation == "FULLY_CONNECTED" else integer("Input_shape"),
        size_out=integer("Output_shape") if has_image_out else 1,
        c_in=c_in,
        c_out=integer("Filter") if has_filters else c_in,
        kernel=integer("Kernel") if windowed else 1,
        stride=integer("Stride") if windowed else 1,
        groups=c_in if operation == "DEPTHWISE_CONV_2D" else integer("Group") if operation in _CONVOLUTIONS else 1,
        inputs=integer("Kernel") if operation == "CONCATENATION" else 1,
        latency_ms=latency_ms,
        compiled=_without_number(first),
        fused=tuple(map(_without_number, rest)),
    )


def _feature(row: _Row) -> dict[str, Any]:
    try:
        feature = ast.literal_eval(row.text("feature"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        feature = None
    if not isinstance(feature, dict):
        raise row.error("feature", "isn't a Python dict literal")
    return feature


def _without_number(node: str) -> str:
    return re.sub(r"_\d+$", "", node)
