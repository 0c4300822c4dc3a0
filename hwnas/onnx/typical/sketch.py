"""`Sketch`: an ONNX model being drawn layer by layer, as PyTorch's exporter would write it, BN folded."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hwnas.errors import ConfigError

OPSET = 17
_IR_VERSION = 8
_PATTERN = np.random.default_rng(0).standard_normal(4096, dtype=np.float32)


class Tensor(NamedTuple):
    """A value of the sketch, with its batch of 1."""

    name: str
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def pixels(self) -> int:
        """Height; images here are square."""
        return self.shape[2]


class Sketch:
    """Each method adds a layer and returns what it gives. Images are (1, C, H, W), tokens (1, N, C).

    Weights are in no way trained: they repeat, and keep activations finite.

    Attributes:
        images: what goes in.
    """

    def __init__(self, pixels: int) -> None:
        self.images = Tensor("images", (1, 3, pixels, pixels))
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def model(self, result: Tensor) -> bytes:
        """The whole as a serialized model."""
        entries = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (self.images, result)
        ]
        graph = helper.make_graph(self._nodes, "typical", entries[:1], entries[1:], self._weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        data: bytes = made.SerializeToString(deterministic=True)
        return data

    def node(self, op: str, inputs: Sequence[Tensor], shape: Sequence[int], **attributes: Any) -> Tensor:
        """Any operator of one output, whose shape the caller knows."""
        name = f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, [each.name for each in inputs], [name], name, **attributes))
        return Tensor(name, tuple(shape))

    def weight(self, *shape: int, inputs: int | None = None) -> Tensor:
        """Noise, as a matrix or filter that each of its outputs takes so many ``inputs`` of; all that one has first."""
        deviation = np.float32(sqrt(1 / max(inputs if inputs is not None else prod(shape[1:]), 1)))
        return self.constant(np.resize(_PATTERN, prod(shape)).reshape(shape) * deviation)

    def constant(self, array: npt.NDArray[Any]) -> Tensor:
        name = f"constant{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return Tensor(name, array.shape)

    def filled(self, value: float, *shape: int) -> Tensor:
        return self.constant(np.full(shape, value, np.float32))

    def number(self, value: float) -> Tensor:
        return self.constant(np.array(value, np.float32))

    def ints(self, *values: int) -> Tensor:
        return self.constant(np.array(values, np.int64))

    # of images

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        act: str = "",
        padded: bool = True,
        bias: bool = True,
    ) -> Tensor:
        """With its BN inside, where it has a ``bias``, and what comes behind."""
        window = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [dilation * (size - 1) // 2 if padded else 0 for size in window]
        sizes = [
            (size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
            for size, pad, k in zip(x.shape[2:], pads, window, strict=True)
        ]
        if x.channels % groups or channels % groups:
            raise ConfigError(f"{groups} groups of {x.channels} and {channels} channels")
        weights = [self.weight(channels, x.channels // groups, *window)]
        if bias:
            weights.append(self.filled(0, channels))
        made = self.node(
            "Conv", (x, *weights), (1, channels, *sizes), kernel_shape=window, strides=[stride] * 2, pads=pads * 2,
            group=groups, dilations=[dilation] * 2,
        )  # fmt: skip
        return self.act(made, act)

    def depthwise(self, x: Tensor, kernel: int = 3, stride: int = 1, act: str = "", dilation: int = 1) -> Tensor:
        return self.conv(x, x.channels, kernel, stride, x.channels, dilation, act)

    def norm(self, x: Tensor, act: str = "") -> Tensor:
        """A BN that has no convolution in front."""
        statistics = [self.filled(value, x.channels) for value in (1, 0, 0, 1)]
        return self.act(self.node("BatchNormalization", (x, *statistics), x.shape), act)

    def layer_normed(self, x: Tensor) -> Tensor:
        """An image, over the channels of each place, by the operators that people write it with."""
        apart = self.sub(x, self.mean(x, 1))
        variance = self.mean(self.node("Pow", (apart, self.number(2)), x.shape), 1)
        deviation = self.node("Sqrt", (self.add(variance, self.number(1e-6)),), variance.shape)
        normed = self.node("Div", (apart, deviation), x.shape)
        return self.add(self.mul(self.filled(1, x.channels, 1, 1), normed), self.filled(0, x.channels, 1, 1))

    def instance_norm(self, x: Tensor) -> Tensor:
        return self.node("InstanceNormalization", (x, self.filled(1, x.channels), self.filled(0, x.channels)), x.shape)

    def group_norm(self, x: Tensor) -> Tensor:
        """Over all of an image, as PyTorch writes it: one channel that holds everything."""
        whole = self.reshape(x, (1, 1, prod(x.shape)))
        normed = self.reshape(self.instance_norm(whole), x.shape)
        return self.add(self.mul(normed, self.filled(1, x.channels, 1, 1)), self.filled(0, x.channels, 1, 1))

    def pool(self, x: Tensor, kind: str, kernel: int, stride: int, padded: bool = True) -> Tensor:
        """``kind``: Max, Average."""
        pad = (kernel - 1) // 2 if padded else 0
        size = (x.pixels + 2 * pad - kernel) // stride + 1
        how: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        how |= {"count_include_pad": 1} if pad and kind == "Average" else {}
        return self.node(f"{kind}Pool", (x,), (1, x.channels, size, size), **how)

    def global_pool(self, x: Tensor, kind: str = "Average") -> Tensor:
        return self.node(f"Global{kind}Pool", (x,), (1, x.channels, 1, 1))

    def padded(self, x: Tensor, before: int, after: int) -> Tensor:
        """With zeros around the image."""
        size = x.pixels + before + after
        pads = self.ints(0, 0, before, before, 0, 0, after, after)
        return self.node("Pad", (x, pads, self.number(0)), (1, x.channels, size, size))

    def larger(self, x: Tensor, factor: int, mode: str = "nearest") -> Tensor:
        """An image so many times as wide and high; ``mode`` is ``linear`` from corner to corner, or ``nearest``."""
        scales = self.constant(np.array([1, 1, factor, factor], np.float32))
        shape = (1, x.channels, x.pixels * factor, x.pixels * factor)
        how = {"coordinate_transformation_mode": "align_corners"}
        if mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", (x, Tensor("", ()), scales), shape, mode=mode, **how)

    def shuffle(self, x: Tensor, groups: int) -> Tensor:
        """Channels of all groups in turn."""
        _, channels, *size = x.shape
        parted = self.reshape(x, (1, groups, channels // groups, *size))
        return self.reshape(self.transpose(parted, (0, 2, 1, 3, 4)), x.shape)

    # of tokens, and of both

    def linear(self, x: Tensor, width: int, act: str = "", bias: bool = True) -> Tensor:
        """Of one vector it is a Gemm, of tokens a MatMul and an Add."""
        if len(x.shape) == 2:
            weights = self.weight(width, x.shape[1]), self.filled(0, width)
            return self.act(self.node("Gemm", (x, *weights), (1, width), transB=1), act)
        product = self.matmul(x, self.weight(x.shape[-1], width, inputs=x.shape[-1]))
        return self.act(self.add(self.filled(0, width), product) if bias else product, act)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return self.node("MatMul", (a, b), (*a.shape[:-1], b.shape[-1]))

    def layer_norm(self, x: Tensor) -> Tensor:
        weights = [self.filled(value, x.shape[-1]) for value in (1, 0)]
        return self.node("LayerNormalization", (x, *weights), x.shape, axis=-1, epsilon=1e-6)

    def softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        return self.node("Softmax", (x,), x.shape, axis=axis)

    def add(self, a: Tensor, b: Tensor, act: str = "") -> Tensor:
        return self.act(self.node("Add", (a, b), np.broadcast_shapes(a.shape, b.shape)), act)

    def sub(self, a: Tensor, b: Tensor) -> Tensor:
        return self.node("Sub", (a, b), np.broadcast_shapes(a.shape, b.shape))

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return self.node("Mul", (a, b), np.broadcast_shapes(a.shape, b.shape))

    def mean(self, x: Tensor, *axes: int, op: str = "ReduceMean", kept: bool = True) -> Tensor:
        """``op``: ReduceMean, ReduceMax, ReduceSum."""
        places = {axis % len(x.shape) for axis in axes}
        shape = [1 if place in places else size for place, size in enumerate(x.shape) if kept or place not in places]
        if op == "ReduceSum":
            return self.node(op, (x, self.ints(*axes)), shape, keepdims=int(kept))
        return self.node(op, (x,), shape, axes=axes, keepdims=int(kept))

    def concat(self, parts: Sequence[Tensor], axis: int = 1) -> Tensor:
        shape = list(parts[0].shape)
        shape[axis] = sum(each.shape[axis] for each in parts)
        return self.node("Concat", parts, shape, axis=axis)

    def split(self, x: Tensor, sizes: Sequence[int], axis: int = 1) -> list[Tensor]:
        """The same in parts of these sizes."""
        made = self.node("Split", (x, self.ints(*sizes)), x.shape, axis=axis)
        names = [f"{made.name}_{number}" for number in range(len(sizes))]
        self._nodes[-1].output[:] = names
        axis %= len(x.shape)
        return [
            Tensor(name, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for name, size in zip(names, sizes, strict=True)
        ]

    def part(self, x: Tensor, axis: int, start: int, end: int, step: int = 1) -> Tensor:
        """A slice of one axis."""
        shape = list(x.shape)
        shape[axis] = len(range(start, end, step))
        return self.node("Slice", (x, *(self.ints(each) for each in (start, end, axis, step))), shape)

    def first(self, x: Tensor, axis: int) -> Tensor:
        """What stands first along an axis, which goes."""
        return self.node(
            "Gather", (x, self.constant(np.array(0, np.int64))), (*x.shape[:axis], *x.shape[axis + 1 :]), axis=axis
        )

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        assert prod(shape) == prod(x.shape), (x, shape)
        return self.node("Reshape", (x, self.ints(*shape)), shape)

    def transpose(self, x: Tensor, order: Sequence[int]) -> Tensor:
        return self.node("Transpose", (x,), [x.shape[axis] for axis in order], perm=order)

    def flatten(self, x: Tensor) -> Tensor:
        return self.node("Flatten", (x,), (1, prod(x.shape)), axis=1)

    def act(self, x: Tensor, kind: str) -> Tensor:
        """One of `ACTS`, written as PyTorch writes it; nothing for no name."""
        match kind:
            case "":
                return x
            case "relu6":
                return self.node("Clip", (x, self.number(0), self.number(6)), x.shape)
            case "swish":
                return self.mul(x, self.node("Sigmoid", (x,), x.shape))
            case "leaky":
                return self.node("LeakyRelu", (x,), x.shape, alpha=0.1)
            case "prelu":
                return self.node("PRelu", (x, self.filled(0.25, x.channels, 1, 1)), x.shape)
            case "hsigmoid":
                return self.node("HardSigmoid", (x,), x.shape, alpha=1 / 6, beta=0.5)
            case "spelled hsigmoid":
                clipped = self.act(self.add(x, self.number(3)), "relu6")
                return self.node("Div", (clipped, self.number(6)), x.shape)
            case "spelled hswish":
                return self.mul(x, self.act(x, "spelled hsigmoid"))
            case "mish":
                return self.mul(x, self.act(self.node("Softplus", (x,), x.shape), "tanh"))
            case "gelu":
                scaled = self.node("Div", (x, self.number(sqrt(2))), x.shape)
                raised = self.add(self.node("Erf", (scaled,), x.shape), self.number(1))
                return self.mul(self.mul(x, raised), self.number(0.5))
        return self.node(_OPERATORS[kind], (x,), x.shape)


_OPERATORS = {"relu": "Relu", "hswish": "HardSwish", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu"}
ACTS = (
    "relu", "relu6", "hswish", "spelled hswish", "swish", "mish", "leaky", "prelu", "gelu", "hsigmoid",
    "spelled hsigmoid", "sigmoid", "tanh", "elu",
)  # fmt: skip
