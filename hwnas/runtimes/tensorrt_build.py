"""What a build of a TensorRT engine tells, by the API that TensorRT 10, 11 and TensorRT-RTX share.

The network is strongly typed: every layer computes in the types that the graph gives it, and nothing in others. So the
parsed network tells the precision of each layer, on machines without a GPU as well, where no engine can be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Annotated, Any

from pydantic import Field

from hwnas.errors import first_line
from hwnas.progress import Progress
from hwnas.record import Record

_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
WEIGHTED = ("convolution", "matrix_multiply")
"""Types of layers that a network's precision is told by."""
_NO_WORK = ("constant", "quantize", "dequantize")
_STORED = ("constant", "dequantize")

_Shape = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=8)]


class Shapes(Record):
    """Of one input: the smallest, that it is fastest at, the largest."""

    min: _Shape
    opt: _Shape
    max: _Shape


class Layer(Record):
    """One that computes on images, as it was built.

    Attributes:
        name: of the graph's node that it came from.
        type: as TensorRT calls it, such as convolution.
        precision: fp32, fp16, bf16 or int8.
        of_values: whether it multiplies two values, as attention does, and so has no weights.
    """

    name: str
    type: str
    precision: str
    of_values: bool = False


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine and what is in it.

    Attributes:
        engine: native code; load it only if you know where it is from.
        profile: {input: shapes that it takes}.
        layers: in the network's order, without constants and conversions.
    """

    engine: bytes
    profile: dict[str, Shapes]
    layers: tuple[Layer, ...]


@cache
def logger(trt: Any) -> Any:
    """The one of the process, as TensorRT keeps the first it is given; ``errors`` and ``last()`` tell what it heard."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

        def last(self) -> str:
            return first_line(Exception(self.errors[-1])) if self.errors else "no reason given"

    return Log()


def parse_error(parser: Any) -> str:
    """What a parser can't take, with the node; empty where it doesn't tell."""
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    node = f"node {error.node_name() or error.node()} ({error.node_operator()}): " if error.node() >= 0 else ""
    return node + first_line(Exception(error.desc()))


def layers_of(network: Any) -> tuple[Layer, ...]:
    """Of a parsed network, strongly typed."""
    every = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(0).name: layer for layer in every}
    found = []
    for layer in every:
        precision = _PRECISIONS.get(layer.get_output(0).dtype.name)
        if precision is None or _type(layer) in _NO_WORK:  # no precision: the arithmetic of shapes
            continue
        of_values = False
        if _type(layer) in WEIGHTED and layer.num_inputs > 1:
            taken = [layer.get_input(index) for index in range(2)]  # None: the layer holds it itself
            factors = [_source(each.name, makers) if each else "constant" for each in taken]
            of_values = factors[1] not in _STORED
            # between conversions to float and back, TensorRT computes in int8
            precision = "int8" if factors == ["dequantize", "dequantize"] else precision
        found.append(Layer(name=layer.name, type=_type(layer), precision=precision, of_values=of_values))
    return tuple(found)


def _source(name: str, makers: dict[str, Any]) -> str | None:
    """Type of the layer that makes a value; what only shapes it, as a parser does to weights, is passed over."""
    while (layer := makers.get(name)) is not None and _type(layer) == "shuffle":
        name = layer.get_input(0).name
    return None if layer is None else _type(layer)


def _type(layer: Any) -> str:
    return str(layer.type.name.lower())


def monitor_of(trt: Any, progress: Progress | None) -> Any:
    """Passes TensorRT's phases on. An error of ``progress``, or Ctrl-C, ends the build and is kept in ``error``."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._lock = Lock()  # TensorRT calls from several threads
            self._steps: dict[str, int] = {}
            self._outer, self._done = "", 0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            with self._guarded():
                self._steps[phase] = steps
                if parent is None:
                    self._outer, self._done = phase, 0

        def step_complete(self, phase: str, step: int) -> bool:
            with self._guarded():
                if phase == self._outer:
                    self._done = step + 1
                self._tell(f"{phase.lower()} {step + 1}/{self._steps[phase]}")
            return self.error is None

        def phase_finish(self, phase: str) -> None:
            with self._guarded():
                if phase == self._outer and self.error is None:  # its last step isn't told
                    self._done = self._steps[phase]
                    self._tell("done")

        def _tell(self, note: str) -> None:
            if progress:
                progress("building", self._done, self._steps[self._outer], note)

        @contextmanager
        def _guarded(self) -> Iterator[None]:
            try:
                with self._lock:
                    yield
            except BaseException as error:  # through TensorRT's frames it would end the process
                self.error = error

    return Monitor()
