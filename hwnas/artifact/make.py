"""One target's files: the graph in its precision, written in its format, and opened here if this machine can."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.artifact.formats.base import Files
from hwnas.artifact.formats.registry import get_format
from hwnas.artifact.opening import open_here
from hwnas.artifact.precision import in_precision
from hwnas.artifact.target import Target
from hwnas.artifact.verify import check_structure
from hwnas.nn.derive import Network
from hwnas.nn.to_onnx import to_onnx
from hwnas.progress import Progress
from hwnas.runtimes.base import Images, Runtime, Session


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a target asked for, before it is judged.

    Attributes:
        target: that was asked for.
        graph: the ONNX graph that the files were made of.
        files: by suffix.
        runtime: the target's, None where it can't run here.
        session: of the files on the target's runtime or, where that can't run here, of the graph on ONNX Runtime's CPU
            provider, which computes the same values.
        lacks: why the target's runtime can't run here, in words; None where it does.
        precisions: {precision: layers with weights that compute in it}, read back.
        notes: what people should know of how it came about.
    """

    target: Target
    graph: bytes
    files: Files
    runtime: Runtime | None
    session: Session
    lacks: str | None
    precisions: dict[str, int]
    notes: tuple[str, ...]

    @property
    def names(self) -> dict[str, bytes]:
        """{file name: content}."""
        return {f"{self.target.name}{suffix}": content for suffix, content in self.files.items()}


def make(network: Network, target: Target, calibration: Images | None, progress: Progress | None = None) -> Made:
    """Write ``network`` for ``target``.

    Args:
        network: in eval mode.
        target: what to make.
        calibration: normalised images (N, C, H, W) for int8.
        progress: of a long build.

    Raises:
        ConfigError, DataError, ModelError, RuntimeMissingError: the target can't be made.
        CountError: the graph isn't that of the arch.
    """
    kind = get_format(target.format)
    model = to_onnx(network, (network.space.stem.c_in, network.space.resolution, network.space.resolution))
    graph = in_precision(model, target, kind, calibration)
    check_structure(graph.model, network)
    files = kind.write(graph.model, target, progress)
    session, runtime, lacks = open_here(kind, target, graph.model, files)
    return Made(
        target=target, graph=graph.model, files=files, runtime=runtime, session=session, lacks=lacks,
        precisions=kind.precisions(files, session if lacks is None else None), notes=graph.notes,
    )  # fmt: skip
