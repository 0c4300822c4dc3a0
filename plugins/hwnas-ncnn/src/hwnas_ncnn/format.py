"""ncnn's two files: the layers as text and their weights beside it."""

from __future__ import annotations

from hwnas.artifacts.formats.base import Files, complete
from hwnas.artifacts.structure import Structure
from hwnas.errors import ConfigError
from hwnas.onnx.precision.int8 import ONNXRUNTIME, Preset
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Session, check_precision
from hwnas_ncnn.convert import to_ncnn
from hwnas_ncnn.param import read_param
from hwnas_ncnn.runtime import Ncnn, NcnnSession


class NcnnFormat:
    """See :class:`hwnas.artifacts.formats.base.Format`. bf16 is asked for when fp32 files are loaded."""

    name = "ncnn"
    suffixes: tuple[str, ...] = (".param", ".bin")

    def runtime(self, target: Target) -> Ncnn:
        if target.runtime != "ncnn":
            raise ConfigError(f"target {target.name}: format ncnn runs on runtime ncnn, not {target.runtime}")
        return Ncnn(target.options)

    def preset(self, target: Target) -> Preset:
        return ONNXRUNTIME  # of no use: `write` takes no int8

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        check_precision(self.runtime(target), target.precision)
        param, weights = to_ncnn(graph)
        return {".param": param, ".bin": weights}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        complete(self, files)
        runtime = self.runtime(target)
        return runtime.load_files(files[".param"], files[".bin"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        return session.precisions() if isinstance(session, NcnnSession) else {}

    def structure(self, files: Files) -> Structure:
        complete(self, files)
        return read_param(files[".param"]).structure
