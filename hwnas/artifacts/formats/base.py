"""`Format`: one kind of model file, from the ONNX graph it is made of to a session that runs it.

Which there are: those of hwnas, and those that installed packages add (entry points ``hwnas.formats``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from hwnas.artifacts.structure import Structure
from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.onnx.precision.int8 import Preset
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.registry import Registry
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.registry import RUNTIMES, get_runtime

Files = Mapping[str, bytes]
"""{suffix: content} of one model; the first is the file that people name, such as ``.xml`` before ``.bin``."""


class Format(Protocol):
    """One kind of model file. Precision lies in the ONNX graph already, but for bf16, which is asked of the runtime.

    Attributes:
        name: what targets ask for.
        suffixes: of its files, in order.
    """

    name: str
    suffixes: tuple[str, ...]

    def runtime(self, target: Target) -> Runtime:
        """What runs the files, with the target's options.

        Raises:
            ConfigError: the runtime doesn't run this format, or has no such option.
            RuntimeMissingError: it isn't installed.
        """

    def preset(self, target: Target) -> Preset:
        """How its runtime wants int8 to lie in the graph."""

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        """The files of an ONNX graph in the target's precision.

        Raises:
            ModelError: the format can't have this graph.
            RuntimeMissingError: what writes it isn't installed.
        """

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        """A session of the files on this machine; ``trusted``: they may hold native code that nothing vouches for.

        Raises:
            ModelError: they can't be read, or weren't made by :meth:`write` and aren't trusted.
            RuntimeMissingError: the runtime isn't installed, or this machine lacks what it needs, such as a GPU.
        """

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        """{precision: how many layers with weights compute in it}, read back from the files or the loaded session.

        Raises:
            ModelError: layers that the files keep in float are computed in int8.
        """

    def structure(self, files: Files) -> Structure | None:
        """Convolutions and linear layers, counted in the files; None where the format doesn't tell.

        Raises:
            ModelError: the files can't be read.
            RuntimeMissingError: what reads them isn't installed.
        """


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


def complete(kind: Format, files: Files) -> None:
    """Raises:
    ModelError: a file of the format isn't there.
    """
    for suffix in kind.suffixes:
        if suffix not in files:
            raise ModelError(f"format {kind.name} is files {', '.join(kind.suffixes)}; there is no {suffix}")


def check_fits(target: Target, suffixes: Collection[str]) -> None:
    """Check that a target's files, of these suffixes, are what its format has, and that its runtime runs that.

    Raises:
        ModelError: nobody has the format or the runtime, or the files are of another format.
        ConfigError: the runtime doesn't run this format, or has no such option.
    """
    try:
        FORMATS.check(target.format, "")
        RUNTIMES.check(target.runtime, "")
    except RuntimeMissingError as error:
        raise ModelError(str(error)) from None
    kind = get_format(target.format)
    if kind.suffixes[0] not in suffixes or not set(suffixes) <= set(kind.suffixes):
        raise ModelError(f"format {kind.name} is files {', '.join(kind.suffixes)}, not {', '.join(suffixes)}")
    with suppress(RuntimeMissingError):
        kind.runtime(target)


def open_here(kind: Format, target: Target, graph: bytes, files: Files) -> tuple[Session, Runtime | None, str | None]:
    """A target's files as a session, on the target's runtime or, where that can't run here, on one that can.

    Returns:
        (session, the target's runtime, None); or one of the graph on ONNX Runtime's CPU provider, None, and why.

    Raises:
        ModelError: the files can't be loaded.
    """
    try:
        runtime = kind.runtime(target)
        return kind.open(files, target, threads=1), runtime, None
    except RuntimeMissingError as error:
        return get_runtime("onnxruntime").load(graph, threads=1, precision="fp32"), None, str(error)
