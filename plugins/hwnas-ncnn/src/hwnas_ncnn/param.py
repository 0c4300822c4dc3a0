"""ncnn's ``.param`` text and ``.bin`` weights, read before ncnn sees them.

ncnn trusts its files: sizes that contradict each other are read and written out of bounds. So here every layer's shape
is followed through the network, and the weights must be exactly those that the layers say.

The formats: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hwnas.artifacts.structure import Structure
from hwnas.errors import ModelError

Shape = tuple[int, ...]
"""(channels, height, width), or (channels,) behind pooling and linear layers."""

WEIGHTED = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
_MAGIC = "7767517"
_LARGEST = 2**28  # values of one tensor

# kind: the parameters that it may have, by number
_KNOWN: dict[str, tuple[int, ...]] = {
    "Input": (0, 1, 2),
    "Split": (),
    "Convolution": (0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16),
    "ConvolutionDepthWise": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16),
    "InnerProduct": (0, 1, 2, 9, 10),
    "Pooling": (0, 4),
    "BinaryOp": (0,),
    "HardSwish": (0, 1),
    "HardSigmoid": (0, 1),
    "ReLU": (),
    "Clip": (0, 1),
    "Flatten": (),
}


class Layer(NamedTuple):
    """One line of a ``.param``, and what follows from it.

    Attributes:
        name: of the layer.
        kind: ncnn's name of it.
        output: name of the first tensor it gives.
        weights, biases: how many it has.
        madds: multiply-adds of one image, where it has weights.
    """

    name: str
    kind: str
    output: str
    weights: int
    biases: int
    madds: int


class Param(NamedTuple):
    """What a ``.param`` says.

    Attributes:
        input_chw: channels, height and width of an image.
        entry, result: names of the tensors that go in and come out.
        layers: in order.
    """

    input_chw: tuple[int, ...]
    entry: str
    result: str
    layers: tuple[Layer, ...]

    @property
    def structure(self) -> Structure:
        """Its convolutions and linear layers."""
        weighted = [layer for layer in self.layers if layer.kind in WEIGHTED]
        return Structure(len(weighted), sum(x.weights for x in weighted), sum(x.madds for x in weighted))


def with_input_shape(text: str, chw: tuple[int, ...]) -> str:
    """The text with its input's shape written down, which ncnn allows and pnnx leaves out."""
    channels, height, width = chw
    lines = text.splitlines()
    lines[2] += f" 0={width} 1={height} 2={channels}"
    return "\n".join(lines) + "\n"


def read_param(text: bytes) -> Param:
    """Read a ``.param`` and follow its shapes.

    Raises:
        ModelError: not one, or one that contradicts itself, or has a layer or a parameter that isn't known here.
    """
    try:
        lines = text.decode("ascii").splitlines()
        counts = [int(word) for word in lines[1].split()] if lines[:1] == [_MAGIC] else []
        if len(lines) < 3 or len(counts) != 2 or counts[0] != len(lines) - 2:
            raise ModelError("not a whole ncnn .param")
        reader = _Reader()
        layers = tuple(reader.layer(line.split()) for line in lines[2:])
        if len(reader.shapes) != counts[1] or len(reader.unread) != 1:
            raise ModelError(f"an ncnn .param of {counts[1]} tensors and one output doesn't have these layers")
        (result,) = reader.unread
        return Param(reader.input_chw, layers[0].output, result, layers)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError):
        raise ModelError("not a whole ncnn .param") from None


class _Reader:
    """Shapes of tensors by name, line after line."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.unread: dict[str, None] = {}  # a set with an order
        self.input_chw = (0, 0, 0)

    def layer(self, words: Sequence[str]) -> Layer:
        kind, name, taken, given = words[0], words[1], int(words[2]), int(words[3])
        names, settings = words[4 : 4 + taken + given], words[4 + taken + given :]
        inputs, outputs = names[:taken], names[taken:]
        if kind not in _KNOWN:
            raise ModelError(f"ncnn layer {name}: kind {kind} isn't one of {', '.join(_KNOWN)}")
        params = _params(settings)
        if unknown := set(params) - set(_KNOWN[kind]):
            raise ModelError(f"ncnn layer {name} ({kind}) has a parameter {min(unknown)} that isn't known here")
        if taken < 0 or not outputs or len(outputs) != given or (given > 1 and kind != "Split"):
            raise ModelError(f"ncnn layer {name} ({kind}) has {given} outputs")
        if not all(tensor in self.unread for tensor in inputs) or len(set(inputs)) != taken:
            raise ModelError(f"ncnn layer {name} reads {', '.join(inputs)}, which nothing before it gives it alone")
        if (kind == "Input") != (not self.shapes) or taken != {"Input": 0, "BinaryOp": 2}.get(kind, 1):
            raise ModelError(f"ncnn layer {name} ({kind}) has {taken} inputs, or an input that isn't the first layer")
        shape, layer = self._given(name, kind, outputs[0], params, [self.shapes[tensor] for tensor in inputs])
        if min(shape) < 1 or math.prod(shape) > _LARGEST:
            raise ModelError(f"ncnn layer {name} ({kind}) gives a tensor of {shape}")
        for tensor in inputs:
            del self.unread[tensor]
        for tensor in outputs:
            if tensor in self.shapes:
                raise ModelError(f"ncnn layer {name} gives {tensor} again")
            self.shapes[tensor], self.unread[tensor] = shape, None
        return layer

    def _given(
        self, name: str, kind: str, output: str, params: Mapping[int, str], shapes: list[Shape]
    ) -> tuple[Shape, Layer]:
        if kind in ("Convolution", "ConvolutionDepthWise"):
            shape, weights = _convolved(name, kind, params, shapes[0])
            return shape, Layer(name, kind, output, weights, _bias(params, 5) * shape[0], weights * shape[1] * shape[2])
        if kind == "InnerProduct":
            shape = (_whole(params, 0),)
            weights = shape[0] * math.prod(shapes[0])
            if _whole(params, 2) != weights:
                raise ModelError(f"ncnn layer {name} has {params[2]} weights where {weights} belong")
            return shape, Layer(name, kind, output, weights, _bias(params, 1) * shape[0], weights)
        layer = Layer(name, kind, output, 0, 0, 0)
        if kind == "Input":
            self.input_chw = _whole(params, 2), _whole(params, 1), _whole(params, 0)
            return self.input_chw, layer
        if kind == "Pooling":
            if (params.get(0), params.get(4)) != ("1", "1"):
                raise ModelError(f"ncnn layer {name} pools other than to the mean of a channel")
            return shapes[0][:1], layer
        if kind == "BinaryOp":
            if _whole(params, 0, least=0) not in (0, 2) or not _broadcast(*shapes):
                raise ModelError(f"ncnn layer {name} neither adds nor multiplies tensors of shapes that fit")
            return max(shapes, key=len), layer
        return (math.prod(shapes[0]),) if kind == "Flatten" else shapes[0], layer


def _params(words: Sequence[str]) -> dict[int, str]:
    """{number: text} of ``0=32`` and, for arrays, ``-23310=2,0.0,6.0``.

    Raises:
        ValueError: one of them isn't a number, or finite.
    """
    params: dict[int, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        number = int(key)
        if number <= -23300:
            number = -number - 23300
            count, *values = value.split(",")
            if int(count) != len(values) or len(values) > 2:
                raise ValueError(word)
        else:
            values = [value]
        if number in params or not all(math.isfinite(float(text)) for text in values):
            raise ValueError(word)
        params[number] = value
    return params


def _whole(params: Mapping[int, str], key: int, default: int | None = None, least: int = 1) -> int:
    """A parameter as a whole number of a plausible size."""
    if key not in params and default is not None:
        return default
    value = int(params[key])
    if not least <= value <= _LARGEST:
        raise ValueError(value)
    return value


def _bias(params: Mapping[int, str], key: int) -> int:
    value = _whole(params, key, default=0, least=0)
    if value > 1:
        raise ValueError(value)
    return value


def _convolved(name: str, kind: str, params: Mapping[int, str], shape: Shape) -> tuple[Shape, int]:
    """Shape behind a convolution, and how many weights it has."""
    if len(shape) != 3:
        raise ModelError(f"ncnn layer {name} convolves a tensor of {shape}")
    c_out, group = _whole(params, 0), _whole(params, 7, default=1)
    kernels, sides = 1, []
    # ncnn leaves out what is equal: the vertical value where it is the horizontal one, the far pad where it is the near
    for side, (kernel, dilation, stride, near, far) in zip(
        shape[:0:-1], ((1, 2, 3, 4, 15), (11, 12, 13, 14, 16)), strict=True
    ):
        k, d, s = (
            _whole(params, key, default=_whole(params, across, default=1))
            for key, across in ((kernel, 1), (dilation, 2), (stride, 3))
        )
        pad = _whole(params, near, default=_whole(params, 4, default=0, least=0), least=0)
        reach = side + pad + _whole(params, far, default=pad, least=0) - d * (k - 1) - 1
        if reach < 0 or max(k, d, s, pad) > 4096:
            raise ModelError(f"ncnn layer {name} has a kernel that its input is too small for")
        kernels *= k
        sides.append(reach // s + 1)
    if shape[0] % group or c_out % group or (kind == "Convolution" and group > 1):
        raise ModelError(f"ncnn layer {name} has {group} groups of {shape[0]} and {c_out} channels")
    weights = c_out * (shape[0] // group) * kernels
    if _whole(params, 6) != weights:
        raise ModelError(f"ncnn layer {name} has {params[6]} weights where {weights} belong")
    return (c_out, sides[1], sides[0]), weights


def _broadcast(one: Shape, other: Shape) -> bool:
    """Whether two tensors are of one shape, or one has a value for each channel of the other."""
    return one == other or (len(one) != len(other) and one[0] == other[0] and 1 in (len(one), len(other)))


def check_weights(param: Param, weights: bytes) -> None:
    """Hold a ``.bin`` against its ``.param``.

    Raises:
        ModelError: it doesn't have the weights of these layers and nothing else.
    """
    at = 0
    for layer in param.layers:
        if layer.kind not in WEIGHTED:
            continue
        if weights[at : at + 4] != b"\0\0\0\0":  # another number here says another way to store them
            raise ModelError(f"ncnn .bin doesn't have the weights of layer {layer.name} in fp32")
        at += 4 + 4 * layer.weights + 4 * layer.biases
    if at != len(weights):
        raise ModelError(f"ncnn .bin has {len(weights)} bytes where its .param has {at}")
