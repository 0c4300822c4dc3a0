"""OpenVINO's IR: the graph as XML and its weights beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hwnas.artifact.formats.base import Files
from hwnas.artifact.target import Target
from hwnas.errors import ConfigError
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.quantize import OPENVINO, Preset
from hwnas.runtimes.registry import get_runtime


class OpenVinoFormat:
    """See :class:`hwnas.artifact.formats.base.Format`."""

    name = "openvino"
    suffixes: tuple[str, ...] = (".xml", ".bin")

    def runtime(self, target: Target) -> Runtime:
        if target.runtime != "openvino":
            raise ConfigError(f"target {target.name}: format openvino runs on runtime openvino, not {target.runtime}")
        return get_runtime("openvino", target.options)

    def preset(self, target: Target) -> Preset:
        return OPENVINO

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        self.runtime(target)
        import openvino as ov  # type: ignore[import-untyped]

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            ov.save_model(ov.Core().read_model(graph), path, compress_to_fp16=False)
            return {".xml": path.read_bytes(), ".bin": path.with_suffix(".bin").read_bytes()}

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        from hwnas.runtimes.openvino import OpenVino

        runtime = self.runtime(target)
        assert isinstance(runtime, OpenVino)
        return runtime.load_ir(files[".xml"], files[".bin"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        from hwnas.runtimes.openvino import OpenVinoSession

        return session.precisions() if isinstance(session, OpenVinoSession) else {}
