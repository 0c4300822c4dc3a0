"""Which formats there are: those of hwnas, and those that installed packages add (entry points ``hwnas.formats``)."""

from __future__ import annotations

from collections.abc import Callable

from hwnas.artifacts.formats.base import Format
from hwnas.errors import RuntimeMissingError
from hwnas.registry import Registry

FORMATS = Registry[Callable[[], Format]](
    "hwnas.formats",
    "format",
    {
        "onnx": "hwnas.artifacts.formats.onnx:OnnxFormat",
        "openvino": "hwnas.artifacts.formats.openvino:OpenVinoFormat",
        "tensorrt": "hwnas.artifacts.formats.tensorrt:tensorrt",
        "tensorrt-rtx": "hwnas.artifacts.formats.tensorrt:tensorrt_rtx",
    },
    RuntimeMissingError,
    "or install what has it",
)


def get_format(name: str) -> Format:
    """A format by name.

    Raises:
        RuntimeMissingError: unknown, or the package that has it isn't installed.
    """
    return FORMATS.get(name)()
