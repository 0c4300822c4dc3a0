"""ONNX: one file, for any runtime that loads it."""

from __future__ import annotations

from hwnas.artifacts.formats.base import Files, complete
from hwnas.artifacts.structure import Structure, graph_structure
from hwnas.errors import ModelError
from hwnas.onnx.computed import computed_precisions, weight_precisions
from hwnas.onnx.precision.int8 import OF_PROVIDER, ONNXRUNTIME, Preset
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.onnxruntime import OnnxRuntimeSession
from hwnas.runtimes.registry import get_runtime


class OnnxFormat:
    """See :class:`hwnas.artifacts.formats.base.Format`."""

    name = "onnx"
    suffixes: tuple[str, ...] = (".onnx",)

    def runtime(self, target: Target) -> Runtime:
        return get_runtime(target.runtime, target.options)

    def preset(self, target: Target) -> Preset:
        return OF_PROVIDER.get(target.options.get("provider", "cpu"), ONNXRUNTIME)

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        return {".onnx": graph}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        complete(self, files)
        return self.runtime(target).load(files[".onnx"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        meant = weight_precisions(files[".onnx"])
        if not (isinstance(session, OnnxRuntimeSession) and session.on_cpu):
            return meant
        computed = computed_precisions(files[".onnx"])
        if (more := computed.get("int8", 0) - meant.get("int8", 0)) > 0:
            version = get_runtime("onnxruntime").version()
            raise ModelError(
                f"ONNX Runtime {version} quantizes {more} layers anew that the file keeps in float; "
                "use another version, or another keep_float"
            )
        return computed

    def structure(self, files: Files) -> Structure:
        return graph_structure(files[".onnx"])
