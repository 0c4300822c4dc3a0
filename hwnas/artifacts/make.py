"""One target's files: the graph in its precision, written in its format, and opened here if this machine can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwnas.arrays import Array
from hwnas.artifacts.entry import Normalization, taking_images, with_batch
from hwnas.artifacts.faster import faster
from hwnas.artifacts.formats.base import Files, Format, get_format, open_here
from hwnas.artifacts.origin import check_graph
from hwnas.artifacts.precision import in_precision
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.source import Source
from hwnas.artifacts.structure import check_versions
from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.graph.graph import expanded
from hwnas.graph.primitives import Flatten
from hwnas.onnx.computed import block
from hwnas.onnx.stand_in import stand_in
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
            provider, which computes the same values. It takes what the network does, images normalised.
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


def make(source: Source, target: Target, calibration: Samples | None, progress: Progress | None = None) -> Made:
    """Write a network for ``target``.

    ``calibration`` is for int8's ranges and fp16's overflows.

    Raises:
        ConfigError, DataError, ModelError, RuntimeMissingError: the target can't be made.
        CountError: the graph isn't that of the network.
    """
    kind = get_format(target.format)
    model = source.graph(target)
    optimized: OptimizedRecord | None = None
    lacking: tuple[str, ...] = ()
    if target.optimize == "timed":
        feed = [stand_in(port) for port in source.record.feed(target.batch.min)]
        model, optimized, lacking = _optimized(model, target, kind, feed, progress)
    graph, notes = in_precision(model, target, kind, calibration)
    normalization = normalization_inside(source, target)
    if normalization:
        graph = normalization.inside(graph)
    if target.batch.fixed:
        graph = with_batch(graph, target.batch.fixed)
    check_versions(graph, target)
    check_graph(source.record, graph, optimized)
    files = kind.write(graph, target, progress)
    session, runtime, lacks = open_here(kind, target, graph, files)
    return Made(
        target=target, graph=graph, files=files, runtime=runtime, lacks=lacks,
        session=taking_images(session, normalization), notes=(*lacking, *notes), optimized=optimized,
        precisions=kind.precisions(files, session if lacks is None else None),
    )  # fmt: skip


def _optimized(
    model: bytes, target: Target, kind: Format, feed: Sequence[Array], progress: Progress | None
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
    faster_model, record = faster(model, load, feed, block=block() if own_layout else 1, progress=progress)
    return faster_model, record, ()


def normalization_inside(source: Source, target: Target) -> Normalization | None:
    """What the target's graph does to images of bytes; None where it takes what the network does.

    Raises:
        ConfigError: the network doesn't take one image, or nobody knows how it is normalised.
    """
    if target.preprocessing == "outside":
        return None
    if source.record.image_chw is None:
        raise ConfigError(
            f"target {target.name} has the preprocessing of one image inside, and {source.record.title} takes "
            "something else; take a target with preprocessing outside"
        )
    return Normalization.of(source.info.preprocessing, source.record.image_chw[0])


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
