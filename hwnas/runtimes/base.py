"""What every runtime offers; profiling and benching use nothing else, so that both measure alike.

This file, ``onnxruntime.py`` and ``openvino.py`` go into profiling kits: Python ≥ 3.8, and at run time nothing but
numpy, the runtime itself, ``hwnas.arrays``, ``hwnas.errors``, ``hwnas.onnx.stand_in`` and ``hwnas.onnx.wire``.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hwnas.arrays import Array
    from hwnas.graph.kernel import Launch
    from hwnas.onnx.observe import Feed, Observation


class Session(Protocol):
    """One loaded model. It takes an array for each of its inputs, in their order, of its dtype and shape."""

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Inference: an array for each of the model's outputs, in their order.

        A network of hwnas takes images (N, C, H, W) and gives logits (N, classes).
        """

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        """A call that does one inference of ``inputs``, waits for its end and does nothing else: what gets timed.

        It returns the nanoseconds that the device's own clock counted (as CUDA events do), or None where the host's
        clock around the call is the measure.
        """


class Runtime(Protocol):
    """Something that runs ONNX models on a device; made with its options, a mapping or None.

    Attributes:
        name: what people ask for.
        precisions: what ``prepare`` and ``load`` take.
        runs_as_is: whether it runs each node of a graph that it loads ``as_is``. Then several copies of a kernel are
            timed at once, next to each other as in a network.
    """

    name: str
    precisions: tuple[str, ...]
    runs_as_is: bool

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

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        """What the runtime launches when it runs an ONNX model, in its order. Done where hwnas is.

        The model has fixed shapes, and its graph is in the precision already. Kernels are timed alone, each as
        :func:`hwnas.onnx.kernel_model.kernel_model` writes it; the network's latency is about their sum.

        Raises:
            ModelError: the runtime can't read the model, or doesn't tell what it launches.
        """

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Session:
        """A session of a prepared model. Done on the device.

        ``as_is`` runs the graph node by node, without the runtime's own optimizations of the graph: for kernels, which
        were cut from a graph that it had optimized, and of which some stay in float where the others are quantized. A
        runtime whose kernels need nothing of this takes no notice.

        Raises:
            ModelError: the runtime can't read the model.
        """


@runtime_checkable
class ShowsValues(Runtime, Protocol):
    """A runtime that shows the values between a model's nodes, as it computes them."""

    def observe(self, model: bytes, feeds: Sequence[Feed], *, precision: str) -> Observation:
        """What a serialized ONNX model of fixed shapes computes for each feed.

        Raises:
            ModelError: the runtime can't run the model.
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
    not_imported = f"runtime {runtime} isn't usable ({first_line(error)})"
    found = RuntimeMissingError(f"{not_imported}; {install}")
    found.not_imported = not_imported
    return found


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
