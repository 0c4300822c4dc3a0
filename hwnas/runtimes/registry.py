"""Which runtimes there are: those of hwnas, and those that installed packages add (entry points ``hwnas.runtimes``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwnas.errors import RuntimeMissingError
from hwnas.registry import Registry
from hwnas.runtimes.base import Runtime

RUNTIMES = Registry[Callable[[Mapping[str, str] | None], Runtime]](
    "hwnas.runtimes",
    "runtime",
    {
        "onnxruntime": "hwnas.runtimes.onnxruntime:OnnxRuntime",
        "openvino": "hwnas.runtimes.openvino:OpenVino",
        "torch": "hwnas.runtimes.torch:Torch",
        "tensorrt": "hwnas.runtimes.tensorrt:tensorrt",
        "tensorrt-rtx": "hwnas.runtimes.tensorrt:tensorrt_rtx",
    },
    RuntimeMissingError,
)
"""What makes a runtime of its options; None are its defaults."""


def get_runtime(name: str, options: Mapping[str, str] | None = None) -> Runtime:
    """A runtime by name, of hwnas or of an installed package; without options it has its defaults.

    Raises:
        ConfigError: an option or value that the runtime doesn't have.
        RuntimeMissingError: unknown name, or not installed.
    """
    return RUNTIMES.get(name)(options)
