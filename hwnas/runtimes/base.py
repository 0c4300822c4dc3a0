"""What every runtime offers; profiling and benching use nothing else, so that both measure alike.

This file, ``onnxruntime.py`` and ``openvino.py`` go into profiling kits: Python ≥ 3.8, and at run time nothing but
numpy, the runtime itself and ``hwnas.errors``.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Images = npt.NDArray[np.float32]
"""(N, C, H, W)"""


class Session(Protocol):
    """One loaded model."""

    def run(self, images: Images) -> Images:
        """Inference: images (N, C, H, W) -> the model's one output, logits (N, classes) for a network."""

    def bind(self, images: Images) -> Callable[[], float | None]:
        """A call that does one inference of ``images``, waits for its end and does nothing else: what gets timed.

        It returns the nanoseconds that the device's own clock counted (as CUDA events do), or None where the host's
        clock around the call is the measure.
        """


class Runtime(Protocol):
    """Something that runs ONNX models on a device; made with its options, a mapping or None.

    Attributes:
        name: what people ask for.
        precisions: what ``prepare`` and ``load`` take.
    """

    name: str
    precisions: tuple[str, ...]

    @property
    def options(self) -> Mapping[str, str]:
        """Those in force, defaults included; they go into every table's device."""

    def version(self) -> str:
        """Of the installed runtime."""

    def accelerator(self) -> str | None:
        """Name of the device the network runs on where that isn't the processor, such as a GPU's."""

    def prepare(self, model: bytes, precision: str) -> bytes:
        """A serialized fp32 ONNX model -> what ``load`` takes: quantized, converted or built. Done where hwnas is.

        Raises:
            ModelError: the runtime has no such precision, or can't convert the model.
        """

    def load(self, model: bytes, *, threads: int, precision: str) -> Session:
        """A session of a prepared model. Done on the device.

        Raises:
            ModelError: the runtime can't read the model.
        """


def options_in_force(
    runtime: str, known: Mapping[str, tuple[str, ...]], given: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Every option of a runtime with its value; of those not given, the first that ``known`` lists.

    Raises:
        ConfigError: an option or a value that isn't known.
    """
    given = given or {}
    for name, value in given.items():
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"runtime {runtime} has no option {name!r}; {has}")
        if value not in known[name]:
            raise ConfigError(f"option {name} of runtime {runtime} is one of {', '.join(known[name])}, not {value!r}")
    return {name: given.get(name, values[0]) for name, values in known.items()}


def check_precision(runtime: Runtime, precision: str) -> None:
    """Raises:
    ModelError: not one of the runtime's.
    """
    if precision not in runtime.precisions:
        raise ModelError(f"runtime {runtime.name} runs {', '.join(runtime.precisions)}, not {precision!r}")


def missing(runtime: str, install: str, error: Exception) -> RuntimeMissingError:
    """The error for a runtime whose import failed: absent, or there and broken, which the import's own words tell."""
    return RuntimeMissingError(f"runtime {runtime} isn't usable ({first_line(error)}); {install}")


def first_line(error: Exception) -> str:
    """Of an error's text, as far as a message can hold it."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def nvidia_gpu() -> tuple[str, str] | None:
    """Name and compute capability (as ``86``) of the first NVIDIA GPU here, None where there is none.

    From the driver's own tool: the runtimes' libraries tell it each in another way, or not at all.
    """
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    name, _, capability = told.partition("\n")[0].rpartition(",")
    return name.strip(), capability.strip().replace(".", "")


def check_self_contained(model: bytes) -> None:
    """Called before a runtime's own parser sees the model, as most would open any file that a weight names.

    The ONNX package, which could tell, isn't on every device; protobuf's wire format is simple enough to walk.

    Raises:
        ModelError: not a whole protobuf message, or a tensor's data lies in another file.
    """
    try:
        external = _has_external_data(memoryview(model), "model")
    except (IndexError, ValueError, RecursionError):
        raise ModelError("not an ONNX model, or one cut short") from None
    if external:
        raise ModelError("the model's weights lie in another file; save it with its weights inside")


# message: {number of a field: the message it holds}, of those on the way to a tensor
_HOLDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def _has_external_data(message: memoryview, kind: str) -> bool:
    for field, content in _fields(message):
        if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and content[0])):
            return True
        if field in _HOLDS[kind] and _has_external_data(content, _HOLDS[kind][field]):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of each field of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        start = at
        if tag & 7 == 0:
            at = _varint(message, at)[1]
        elif tag & 7 == 2:
            length, start = _varint(message, at)
            at = start + length
        elif tag & 7 in (1, 5):
            at += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError("no such wire type")
        if at > len(message):
            raise ValueError("cut short")
        yield tag >> 3, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
