"""A target's files as a session, on the target's runtime or, where that can't run here, on one that can."""

from __future__ import annotations

from hwnas.artifacts.formats.base import Files, Format
from hwnas.artifacts.target import Target
from hwnas.errors import RuntimeMissingError
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.registry import get_runtime


def open_here(kind: Format, target: Target, graph: bytes, files: Files) -> tuple[Session, Runtime | None, str | None]:
    """(session, the target's runtime, None); or one of the graph on ONNX Runtime's CPU provider, None, and why.

    Raises:
        ModelError: the files can't be loaded.
    """
    try:
        runtime = kind.runtime(target)
        return kind.open(files, target, threads=1), runtime, None
    except RuntimeMissingError as error:
        return get_runtime("onnxruntime").load(graph, threads=1, precision="fp32"), None, str(error)
