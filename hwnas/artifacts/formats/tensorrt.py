"""TensorRT engines, each with its sidecar."""

from __future__ import annotations

from functools import partial

from hwnas.artifacts.formats.base import Files
from hwnas.artifacts.formats.engine_sidecar import (
    Sidecar,
    check_runs_here,
    read_sidecar,
    sha256,
    this_platform,
    vouching,
)
from hwnas.errors import ConfigError, ModelError
from hwnas.files import to_json
from hwnas.onnx.precision.int8 import TENSORRT, Preset
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Session, check_precision
from hwnas.runtimes.registry import get_runtime
from hwnas.runtimes.tensorrt import TensorRt
from hwnas.runtimes.tensorrt_session import TensorRtSession


class TensorRtFormat:
    """See :class:`hwnas.artifacts.formats.base.Format`."""

    suffixes: tuple[str, ...] = (".engine", ".json")

    def __init__(self, name: str) -> None:
        self.name = name

    def runtime(self, target: Target) -> TensorRt:
        if target.runtime != self.name:
            raise ConfigError(f"target {target.name}: format {self.name} runs on runtime {self.name}")
        runtime = get_runtime(self.name, target.options)
        assert isinstance(runtime, TensorRt)
        return runtime

    def preset(self, target: Target) -> Preset:
        return TENSORRT

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        runtime = self.runtime(target)
        check_precision(runtime, target.precision)
        built = runtime.build(graph, target.batch, progress)
        sidecar = Sidecar(
            engine_sha256=sha256(built.engine),
            graph_sha256=sha256(graph),
            runtime=runtime.name,
            version=runtime.version(),
            capability=runtime.capability(),
            platform=this_platform(),
            options=dict(runtime.options),
            profile=built.profile,
            layers=built.layers,
        )
        return {".engine": built.engine, ".json": to_json(sidecar.plain()).encode()}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        """In this order, each before the next: sidecar, hash, version, platform, GPU, deserialisation.

        Trust stands in for the sidecar where it doesn't describe the engine; where it does, its facts hold.
        """
        sidecar: Sidecar | None = None
        try:
            sidecar = vouching(files[".engine"], files.get(".json"), target.name)
        except ModelError:
            if not trusted:
                raise
        runtime = self.runtime(target)
        if sidecar is not None:
            check_runs_here(sidecar, runtime.name, runtime.version(), target.name)
        return runtime.load(files[".engine"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        """By the loaded engine's word; where it isn't loaded or hides its layers, by the network it was built of."""
        told = session.precisions() if isinstance(session, TensorRtSession) else {}
        return told or read_sidecar(files[".json"], "sidecar").precisions()

    def structure(self, files: Files) -> None:
        """An engine's layers are merged and renamed; what they were is known of the graph alone."""


tensorrt = partial(TensorRtFormat, "tensorrt")
tensorrt_rtx = partial(TensorRtFormat, "tensorrt-rtx")
