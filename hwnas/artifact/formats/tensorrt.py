"""TensorRT engines, and beside each a sidecar that says what it is and where it runs."""

from __future__ import annotations

import hashlib
import json

from hwnas.artifact.formats.base import Files
from hwnas.artifact.target import Target
from hwnas.errors import ConfigError, ModelError
from hwnas.files import to_json
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.quantize import TENSORRT, Preset
from hwnas.runtimes.registry import get_runtime
from hwnas.runtimes.tensorrt import TensorRt


class TensorRtFormat:
    """See :class:`hwnas.artifact.formats.base.Format`."""

    suffixes: tuple[str, ...] = (".engine", ".json")

    def __init__(self, name: str) -> None:
        self.name = name

    def runtime(self, target: Target) -> TensorRt:
        if target.runtime != self.name:
            raise ConfigError(f"target {target.name}: format {self.name} runs on runtime {self.name}")
        runtime: Runtime = get_runtime(self.name, target.options)
        assert isinstance(runtime, TensorRt)
        return runtime

    def preset(self, target: Target) -> Preset:
        return TENSORRT

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        runtime = self.runtime(target)
        engine = runtime.build(graph)
        sidecar = {
            "runtime": runtime.name,
            "version": runtime.version(),
            "options": dict(runtime.options),
            "engine_sha256": hashlib.sha256(engine).hexdigest(),
            "graph_sha256": hashlib.sha256(graph).hexdigest(),
        }
        return {".engine": engine, ".json": to_json(sidecar).encode()}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        sidecar = json.loads(files[".json"])
        if not trusted and sidecar["engine_sha256"] != hashlib.sha256(files[".engine"]).hexdigest():
            raise ModelError(f"the engine of {target.name} isn't the one its sidecar describes")
        return self.runtime(target).load(files[".engine"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        return {}
