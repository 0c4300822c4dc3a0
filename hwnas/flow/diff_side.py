"""What `diff` runs beside each other: a model opened, and the inputs of one as the other takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from hwnas.arrays import Array, Images, Port
from hwnas.artifacts.bundle import Artifact, checked_bytes, load_artifact
from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.parity import RANDOM_TEXTURES, random_textures
from hwnas.artifacts.reference import REFERENCE, read_reference
from hwnas.errors import ConfigError, DataError, ModelError
from hwnas.flow.export import open_model as open_network
from hwnas.flow.export import real_images
from hwnas.flow.model import ModelLike, open_model
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.nn.observe import observe_network
from hwnas.onnx.computed import coarsest
from hwnas.onnx.model import OnnxModel, Shapes, model_of
from hwnas.onnx.observe import Feed, Observation, observe
from hwnas.onnx.write import to_onnx
from hwnas.records.artifact import MANIFEST, ExportedFile
from hwnas.records.network import INPUT
from hwnas.records.target import Precision
from hwnas.runtimes.base import ShowsValues
from hwnas.runtimes.registry import get_runtime
from hwnas.space.scarlet import released_archs

_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two models that are run beside each other.

    Attributes:
        model: as it was named.
        runtime: that runs it; None where its nodes are run as they stand in its file.
        precision: the coarsest that it computes in.
        ports: what it takes.
        observe: runs it.
        images: normalised ones (N, C, H, W) that it brings along.
        source: where they came from, in words.
        normalization: what its graph does itself to images of bytes.
    """

    model: str
    runtime: str | None
    precision: Precision
    ports: tuple[Port, ...]
    observe: Callable[[Sequence[Feed]], Observation]
    images: Images | None = None
    source: str = ""
    normalization: Normalization | None = None

    @property
    def takes(self) -> str:
        """Its inputs, in words."""
        return ", ".join(f"{port.name} {port.dtype} {'x'.join(map(str, port.shape))}" for port in self.ports)


def open_side(model: ModelLike, runtime: str | None, shapes: Shapes) -> Side:
    """A model of anyone's, an artifact or one of its files, a MODEL folder or a released name (random weights).

    Raises:
        ModelError: none of these, or it can't be read.
        ConfigError: the runtime doesn't show its values.
        RuntimeMissingError: the runtime isn't here.
    """
    if isinstance(model, Network):
        return _of_network(model, str(model.arch), runtime)
    if not isinstance(model, str | Path):
        return _of_onnx(open_model(model, shapes), runtime)
    path = Path(model)
    if (path / MANIFEST).exists():
        artifact = load_artifact(path)
        return _of_artifact(artifact, artifact.manifest.files[0], str(model), runtime)
    if (path.parent / MANIFEST).exists():
        artifact = load_artifact(path.parent)
        for file in artifact.manifest.files:
            if path.name in (file.target, *file.files):
                return _of_artifact(artifact, file, str(model), runtime)
    if path.is_dir() or str(model) in released_archs():
        return _of_network(open_network(model), str(model), runtime)
    return _of_onnx(open_model(model, {name: shapes[name] for name in _entries(path, shapes)}), runtime)


def _entries(path: Path, shapes: Shapes) -> list[str]:
    """Of the inputs that ``shapes`` names those that a file has; all where nothing is known of it yet."""
    try:
        proto = onnx.load(path, load_external_data=False) if shapes else onnx.ModelProto()
    except Exception:  # protobuf's exceptions share no public base; opening it tells what is wrong
        return list(shapes)
    return [entry.name for entry in proto.graph.input if entry.name in shapes]


def _of_onnx(model: OnnxModel, runtime: str | None, precision: Precision | None = None) -> Side:
    precision = precision or coarsest(model.proto)
    if runtime is None:
        return Side(
            model=model.name, runtime=None, precision=precision, ports=model.inputs,
            observe=lambda feeds: observe(model.proto, feeds),
        )  # fmt: skip
    runs = get_runtime(runtime)
    if not isinstance(runs, ShowsValues):
        raise ConfigError(
            f"runtime {runtime} doesn't show the values between a model's nodes; take onnxruntime, openvino or torch"
        )
    return Side(
        model=model.name, runtime=runtime, precision=precision, ports=model.inputs,
        observe=lambda feeds: runs.observe(model.data, feeds, precision=precision),
    )  # fmt: skip


def _of_network(network: Network, name: str, runtime: str | None) -> Side:
    model = model_of(to_onnx(network.graph, weights_of(network)), name)
    images, source = _its_images(network)
    if runtime is not None:
        return replace(_of_onnx(model, runtime), images=images, source=source)
    return Side(
        model=name, runtime="torch", precision="fp32", ports=model.inputs, images=images, source=source,
        observe=lambda feeds: observe_network(network, [feed[INPUT] for feed in feeds]),
    )  # fmt: skip


def _its_images(network: Network) -> tuple[Images, str]:
    """A few that it was tested with where they are at hand, else textures."""
    with suppress(DataError):
        if real := real_images(network, None):
            return real.images[:_IMAGES], f"images of {network.info.data}"
    return random_textures(_IMAGES, network.graph.in_shapes[0]), RANDOM_TEXTURES


def _of_artifact(artifact: Artifact, file: ExportedFile, name: str, runtime: str | None) -> Side:
    files, precision = artifact.read(file), file.settings.precision
    network = artifact.manifest.network
    reference = read_reference(checked_bytes(artifact.path, REFERENCE, artifact.manifest.sha256), network)
    if ".onnx" in files:
        side = _of_onnx(model_of(files[".onnx"], name), runtime, precision)
    elif file.settings.format == "openvino" and runtime in (None, "openvino"):
        side = _of_ir(artifact, file, name)
    else:
        raise ModelError(f"{name} doesn't show the values between its nodes; take an ONNX file of the artifact")
    if network.image_chw is None:
        return side
    (images,), source = reference.samples.arrays, f"{REFERENCE} of {artifact.path}"
    return replace(side, images=images, source=source, normalization=artifact.normalization(file))


def _of_ir(artifact: Artifact, file: ExportedFile, name: str) -> Side:
    files, precision = artifact.read(file), file.settings.precision
    runs = get_runtime("openvino", file.settings.options)
    from hwnas.runtimes.openvino import OpenVino  # which isn't everywhere

    assert isinstance(runs, OpenVino)
    takes = [Port(each.name, each.dtype, tuple(size or 1 for size in each.shape)) for each in file.inputs]
    return Side(
        model=name, runtime="openvino", precision=precision,
        ports=tuple(takes),
        observe=lambda feeds: runs.observe_ir(files[".xml"], files[".bin"], feeds, precision=precision),
    )  # fmt: skip


def feeds_of(side: Side, images: Images) -> list[Feed]:
    """Images (N, C, H, W) as a side takes them: as many as its batch for each inference.

    Raises:
        ModelError: it takes something else.
    """
    (name, dtype, shape), *others = side.ports
    array = side.normalization.pixels(images) if side.normalization else images
    batch = shape[0] if shape else 0
    if others or shape[1:] != array.shape[1:] or not 1 <= batch <= len(array):
        raise ModelError(f"{side.model} takes {side.takes}, the other comes with images {images.shape}; give inputs")
    return [{name: array[start : start + batch].astype(dtype)} for start in range(0, len(array) - batch + 1, batch)]


def matched_inputs(a: Side, b: Side) -> dict[str, str]:
    """{input of b: that of a}: by name, or in their order where names differ.

    Raises:
        ModelError: b takes more or fewer.
    """
    in_a, in_b = ([port.name for port in side.ports] for side in (a, b))
    if set(in_b) <= set(in_a):
        return {name: name for name in in_b}
    if len(in_a) != len(in_b):
        raise ModelError(f"they take different inputs: {a.model} {a.takes}; {b.model} {b.takes}")
    return dict(zip(in_b, in_a, strict=True))


def fed(a: Side, b: Side, feed: Feed) -> Feed:
    """What b takes where a takes ``feed``.

    Raises:
        ModelError: it takes something else.
    """
    found: dict[str, Array] = {}
    matched = matched_inputs(a, b)
    for port in b.ports:
        array = feed[matched[port.name]]
        if a.normalization and not b.normalization:
            array = a.normalization.images(array)
        elif b.normalization and not a.normalization:
            array = b.normalization.pixels(array.astype(np.float32))
        fits = [axes for axes in (range(array.ndim), *_LAYOUTS) if _shape(array, axes) == port.shape]
        if not fits or np.issubdtype(array.dtype, np.floating) != np.issubdtype(np.dtype(port.dtype), np.floating):
            raise ModelError(f"they take different inputs: {a.model} {a.takes}; {b.model} {b.takes}")
        found[port.name] = np.ascontiguousarray(array.transpose(fits[0]).astype(port.dtype))
    return found


_LAYOUTS = ((0, 2, 3, 1), (0, 3, 1, 2))
"""From NCHW to NHWC, and back."""


def _shape(array: Array, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(array.shape[axis] for axis in axes) if len(axes) == array.ndim else ()
