"""One target's files: the graph in its precision, written in its format, and opened here if this machine can."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.arrays import Images
from hwnas.artifacts.entry import Normalization, taking_images, with_batch
from hwnas.artifacts.faster import faster
from hwnas.artifacts.formats.base import Files, Format, get_format, open_here
from hwnas.artifacts.precision import in_precision
from hwnas.artifacts.structure import check_structure, check_versions
from hwnas.artifacts.timing import some_images
from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.graph.graph import Shape, expanded
from hwnas.graph.primitives import Flatten
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.onnx.computed import block
from hwnas.onnx.write import to_onnx
from hwnas.progress import Progress
from hwnas.records.optimized import OptimizedRecord
from hwnas.records.target import IR_VERSION, OPSET, Target
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.registry import get_runtime


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a target asked for, before it is judged.

    Attributes:
        target, files: what was asked for, and its files by suffix.
        graph: the ONNX graph that they were made of.
        runtime: the target's, None where it can't run here.
        session: of the files on the target's runtime or, where that can't run here, of the graph on ONNX Runtime's CPU
            provider, which computes the same values. It takes normalised images, wherever the normalisation lies.
        lacks: why the target's runtime can't run here, in words; None where it does.
        precisions: {precision: layers with weights that compute in it}, read back.
        notes: what a person should know of how it was made.
        optimized: which rewrites its graph went through; None where none were asked for, or nothing could time them.
    """

    target: Target
    graph: bytes
    files: Files
    runtime: Runtime | None
    session: Session
    lacks: str | None
    precisions: dict[str, int]
    notes: tuple[str, ...]
    optimized: OptimizedRecord | None = None

    @property
    def names(self) -> dict[str, bytes]:
        """{file name: content}."""
        return {f"{self.target.name}{suffix}": content for suffix, content in self.files.items()}


def make(network: Network, target: Target, calibration: Images | None, progress: Progress | None = None) -> Made:
    """Write ``network``, as it computes in eval mode, for ``target``.

    ``calibration`` are normalised images (N, C, H, W), for int8's ranges and fp16's overflows.

    Raises:
        ConfigError, DataError, ModelError, RuntimeMissingError: the target can't be made.
        CountError: the graph isn't that of the arch.
    """
    kind = get_format(target.format)
    model = to_onnx(network.graph, weights_of(network), opset=target.opset, ir_version=target.ir_version)
    optimized: OptimizedRecord | None = None
    lacking: tuple[str, ...] = ()
    if target.optimize == "timed":
        model, optimized, lacking = _optimized(model, target, kind, network.graph.in_shapes[0], progress)
    graph, notes = in_precision(model, target, kind, calibration)
    channels = network.graph.in_shapes[0][0]
    inside = target.preprocessing == "inside"
    normalization = Normalization.of(network.info.preprocessing, channels) if inside else None
    if normalization:
        graph = normalization.inside(graph)
    if target.batch.fixed:
        graph = with_batch(graph, target.batch.fixed)
    check_versions(graph, target)
    check_structure(graph, network.graph, optimized)
    files = kind.write(graph, target, progress)
    session, runtime, lacks = open_here(kind, target, graph, files)
    return Made(
        target=target, graph=graph, files=files, runtime=runtime, lacks=lacks,
        session=taking_images(session, normalization), notes=(*lacking, *notes), optimized=optimized,
        precisions=kind.precisions(files, session if lacks is None else None),
    )  # fmt: skip


def _optimized(
    model: bytes, target: Target, kind: Format, input_chw: Shape, progress: Progress | None
) -> tuple[bytes, OptimizedRecord | None, tuple[str, ...]]:
    """The graph with what is faster on the target's runtime, or as it is and why."""

    def load(graph: bytes) -> Session:
        return kind.open(kind.write(graph, target), target, threads=1)

    if target.batch.fixed:
        model = with_batch(model, target.batch.fixed)
    try:
        runtime = kind.runtime(target)
        load(model)
    except RuntimeMissingError as error:
        return model, None, (f"not optimized, since nothing can be timed here: {error}",)
    own_layout = runtime.name == "onnxruntime" and runtime.accelerator() is None
    images = some_images(input_chw, target.batch.min)
    faster_model, record = faster(model, load, [images], block=block() if own_layout else 1, progress=progress)
    return faster_model, record, ()


def check_readable(target: Target) -> None:
    """Whether the target's opset and IR version can be written here, and read by ONNX Runtime, which checks the graph.

    Raises:
        ConfigError: they can't.
    """
    try:
        least = to_onnx(expanded(Flatten(shape=(1, 1, 1))), {}, opset=target.opset, ir_version=target.ir_version)
    except ModelError as error:
        raise ConfigError(f"target {target.name}: {error}") from None
    runtime = get_runtime("onnxruntime")
    try:
        runtime.load(least, threads=1, precision="fp32")
    except ModelError:
        raise ConfigError(
            f"target {target.name}: ONNX Runtime {runtime.version()} doesn't read opset {target.opset} with IR version "
            f"{target.ir_version}; hwnas writes {OPSET} and {IR_VERSION} where a target names none"
        ) from None
