"""Which formats there are: those of hwnas, and those that installed packages add (entry points ``hwnas.formats``)."""

from __future__ import annotations

from collections.abc import Callable

from hwnas.artifacts.formats.base import Format
from hwnas.errors import RuntimeMissingError
from hwnas.plugins import load_plugin, plugin_names

_PLUGINS = "hwnas.formats"

# imported when asked for: each brings its runtime's library


def _onnx() -> Format:
    from hwnas.artifacts.formats.onnx import OnnxFormat

    return OnnxFormat()


def _openvino() -> Format:
    from hwnas.artifacts.formats.openvino import OpenVinoFormat

    return OpenVinoFormat()


def _tensorrt() -> Format:
    from hwnas.artifacts.formats.tensorrt import TensorRtFormat

    return TensorRtFormat("tensorrt")


def _tensorrt_rtx() -> Format:
    from hwnas.artifacts.formats.tensorrt import TensorRtFormat

    return TensorRtFormat("tensorrt-rtx")


_BUILT_IN: dict[str, Callable[[], Format]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "tensorrt": _tensorrt,
    "tensorrt-rtx": _tensorrt_rtx,
}


def format_names() -> tuple[str, ...]:
    """Every format that a target can ask for."""
    return (*_BUILT_IN, *plugin_names(_PLUGINS))


def get_format(name: str) -> Format:
    """A format by name.

    Raises:
        RuntimeMissingError: unknown, or the package that has it isn't installed.
    """
    make: Callable[[], Format] | None = _BUILT_IN.get(name) or load_plugin(_PLUGINS, name)
    if make is None:
        raise RuntimeMissingError(f"no format {name!r}; known: {', '.join(format_names())}, or install what has it")
    return make()
