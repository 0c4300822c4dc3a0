"""What a graph takes: the batch a target fixes, and images of bytes where a target has the normalisation inside.

Both are added last, on the graph in its precision: ranges and overflows are found on the network alone, with any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.arrays import Array, Images, Pixels, Port
from hwnas.errors import ConfigError, ModelError
from hwnas.files import validated
from hwnas.onnx.model import port_of
from hwnas.onnx.read import parsed
from hwnas.records.model import Preprocessing
from hwnas.records.network import Tensor
from hwnas.runtimes.base import Session

PREFIX = "preprocessing"
"""What the names of the nodes that normalise start with."""
_IMAGES_NDIM = 4


@dataclass(frozen=True)
class Normalization:
    """From bytes to the network's input: (x / 255 - mean) / std, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, preprocessing: Preprocessing | None, channels: int) -> Normalization:
        """That of a model's preprocessing.

        Raises:
            ConfigError: it has no mean and deviation for each channel.
        """
        if preprocessing is None or {len(preprocessing.mean), len(preprocessing.std)} != {channels}:
            raise ConfigError(
                f"the model's preprocessing doesn't say mean and std of its {channels} channels; take a model that "
                "was trained on a data set, or a target with preprocessing outside"
            )
        return cls(preprocessing.mean, preprocessing.std)

    def pixels(self, images: Images) -> Pixels:
        """The nearest bytes (N, H, W, C) of normalised images (N, C, H, W): exact for images made of bytes."""
        values = images.transpose(0, 2, 3, 1) * np.array(self.std, np.float32) + np.array(self.mean, np.float32)
        return np.ascontiguousarray(np.clip(np.round(values * np.float32(255)), 0, 255).astype(np.uint8))

    def images(self, pixels: Pixels) -> Images:
        """Normalised images (N, C, H, W) of bytes (N, H, W, C)."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)

    def inside(self, graph: bytes) -> bytes:
        """A graph that takes bytes (batch, H, W, C), RGB, where ``graph`` takes normalised images (batch, C, H, W)."""
        proto = onnx.load_from_string(graph)
        entry = proto.graph.input[0]
        batch, channels, height, width = entry.type.tensor_type.shape.dim
        sizes = [d.dim_param or d.dim_value for d in (batch, height, width, channels)]
        scale = np.float32(1) / (np.float32(255) * np.array(self.std, np.float32))
        offset = -np.array(self.mean, np.float32) / np.array(self.std, np.float32)
        cast, planes, scaled, shifted = (f"{PREFIX}.{step}" for step in ("cast", "transpose", "scale", "offset"))
        proto.graph.initializer.extend(
            numpy_helper.from_array(value.reshape(-1, 1, 1), f"{name}.constant")
            for name, value in ((scaled, scale), (shifted, offset))
        )
        # runtimes want bytes cast before anything else happens to them
        steps = [
            helper.make_node("Cast", [entry.name], [cast], cast, to=TensorProto.FLOAT),
            helper.make_node("Transpose", [cast], [planes], planes, perm=[0, 3, 1, 2]),
            helper.make_node("Mul", [planes, f"{scaled}.constant"], [scaled], scaled),
            helper.make_node("Add", [scaled, f"{shifted}.constant"], [shifted], shifted),
        ]
        for node in proto.graph.node:
            node.input[:] = [shifted if name == entry.name else name for name in node.input]
        nodes = [*steps, *proto.graph.node]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        entry.CopyFrom(helper.make_tensor_value_info(entry.name, TensorProto.UINT8, sizes))
        return bytes(proto.SerializeToString(deterministic=True))


def with_batch(graph: bytes, batch: int) -> bytes:
    """``graph`` for this batch only, where it leaves the batch open."""
    proto = onnx.load_from_string(graph)
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.dim_value = dim.dim_value or batch
    del proto.graph.value_info[:]  # which still know nothing of it
    return bytes(proto.SerializeToString(deterministic=True))


def taking_images(session: Session, normalization: Normalization | None) -> Session:
    """``session`` for normalised images (N, C, H, W), whether its graph takes them or bytes."""
    return _PixelSession(session, normalization) if normalization else session


@dataclass(frozen=True)
class _PixelSession:
    """A session of a graph that takes bytes."""

    session: Session
    normalization: Normalization

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        return self.session.run([self.normalization.pixels(images) for images in inputs])

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        return self.session.bind([self.normalization.pixels(images) for images in inputs])


class GraphFacts(NamedTuple):
    """What a graph says of itself."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int
    ir_version: int


def facts_of(model: bytes) -> GraphFacts:
    """Read them back from a serialized graph.

    Raises:
        ModelError: not an ONNX model, or not one of tensors.
    """
    proto = parsed(model)
    return GraphFacts(
        inputs=tuple(tensor_of(port_of(value)) for value in proto.graph.input),
        outputs=tuple(tensor_of(port_of(value)) for value in proto.graph.output),
        opset=next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 0),
        ir_version=proto.ir_version,
    )


def tensor_of(port: Port) -> Tensor:
    """What a graph says of one of its inputs or outputs, where 0 stands for an open size.

    Raises:
        ModelError: of a type that no runtime takes.
    """
    name, dtype, sizes = port
    layout = None
    if len(sizes) == _IMAGES_NDIM:
        layout = "NHWC" if dtype == "uint8" and sizes[-1] in (1, 3) else "NCHW"
    shape = tuple(size or None for size in sizes)
    return validated(Tensor, {"name": name, "dtype": dtype, "shape": shape, "layout": layout}, "the model", ModelError)
