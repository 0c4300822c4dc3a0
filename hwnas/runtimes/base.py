"""What every runtime offers; profiling and benching use nothing else, so that both measure alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwnas.errors import RuntimeMissingError
from hwnas.plugins import load_plugin, plugin_names

Images = npt.NDArray[np.float32]
"""(N, C, H, W)"""


class Session(Protocol):
    """One loaded model."""

    def run(self, images: Images) -> npt.NDArray[np.float32]:
        """Inference: images (N, C, H, W) -> the model's one output, logits (N, classes) for a network."""

    def bind(self, images: Images) -> Callable[[], object]:
        """A call that does one inference of ``images`` and nothing else: what gets timed."""


class Runtime(Protocol):
    """Something that runs ONNX models on a device."""

    name: str
    precisions: tuple[str, ...]

    def version(self) -> str:
        """Of the installed runtime."""

    def load(self, model: bytes, *, threads: int, precision: str) -> Session:
        """A session of a serialized ONNX model.

        Raises:
            ModelError: the runtime can't read the model.
        """


def _onnxruntime() -> Runtime:
    from hwnas.runtimes.onnxruntime import OnnxRuntime  # imported when asked for: each runtime is a heavy library

    return OnnxRuntime()


_BUILT_IN: dict[str, Callable[[], Runtime]] = {"onnxruntime": _onnxruntime}
_PLUGINS = "hwnas.runtimes"


def runtime_names() -> tuple[str, ...]:
    """Every runtime that can be asked for."""
    return (*_BUILT_IN, *plugin_names(_PLUGINS))


def get_runtime(name: str) -> Runtime:
    """A runtime by name.

    Raises:
        RuntimeMissingError: unknown name.
    """
    make = _BUILT_IN.get(name) or load_plugin(_PLUGINS, name)
    if make is None:
        raise RuntimeMissingError(f"no runtime {name!r}; known: {', '.join(runtime_names())}")
    return make()
