"""Which runtimes there are: those of hwnas, and those that installed packages add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from hwnas.errors import RuntimeMissingError
from hwnas.plugins import load_plugin, plugin_names
from hwnas.runtimes.base import Runtime

_Make = Callable[[Mapping[str, str] | None], Runtime]

# imported when asked for: each runtime is a heavy library, and not everyone has it


def _onnxruntime(options: Mapping[str, str] | None) -> Runtime:
    from hwnas.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(options)


def _openvino(options: Mapping[str, str] | None) -> Runtime:
    from hwnas.runtimes.openvino import OpenVino

    return OpenVino(options)


def _torch(options: Mapping[str, str] | None) -> Runtime:
    from hwnas.runtimes.torch import Torch

    return Torch(options)


def _tensorrt(name: str, options: Mapping[str, str] | None) -> Runtime:
    from hwnas.runtimes.tensorrt import TensorRt

    return TensorRt(name, options)


_BUILT_IN: dict[str, _Make] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch": _torch,
    "tensorrt": partial(_tensorrt, "tensorrt"),
    "tensorrt-rtx": partial(_tensorrt, "tensorrt-rtx"),
}
_PLUGINS = "hwnas.runtimes"


def runtime_names() -> tuple[str, ...]:
    """Every runtime that can be asked for."""
    return (*_BUILT_IN, *plugin_names(_PLUGINS))


def get_runtime(name: str, options: Mapping[str, str] | None = None) -> Runtime:
    """A runtime by name.

    Args:
        name: one of hwnas or of an installed package.
        options: of the runtime; None for its defaults.

    Raises:
        ConfigError: an option or value that the runtime doesn't have.
        RuntimeMissingError: unknown name, or not installed.
    """
    make: _Make | None = _BUILT_IN.get(name) or load_plugin(_PLUGINS, name)
    if make is None:
        raise RuntimeMissingError(f"no runtime {name!r}; known: {', '.join(runtime_names())}")
    return make(options)
