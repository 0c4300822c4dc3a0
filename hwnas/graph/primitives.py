"""Primitives: what all ops are made of. Three tables know them, and nothing else has to: what each costs
(:mod:`hwnas.graph.count`), its torch layer (:mod:`hwnas.nn.layers`) and its ONNX node (:mod:`hwnas.onnx.write`).

`Draft` writes a block's expansion down in the order in which it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from hwnas.graph.graph import INPUT, Graph, Node, Op, Shape, input_names

ACTIVATIONS = ("relu", "relu6", "hswish", "hsigmoid")
"""Of `Activation`: ReLU, min(ReLU, 6), and MobileNetV3's x·hsigmoid(x) and hsigmoid(x) = ReLU6(x + 3) / 6."""

EPSILON = 1e-5
"""That batch normalisation adds to a variance."""


@dataclass(frozen=True, kw_only=True)
class Primitive(Op):
    """An op that isn't taken apart any further.

    Attributes:
        shape: of what goes in, the first of several.
        in_place: its result may take the place of what goes in, where nothing else reads that.
    """

    in_place: ClassVar[bool] = False
    shape: Shape

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return (self.shape,)

    @property
    def out_shape(self) -> Shape:
        return self.shape

    @property
    def parameters(self) -> Mapping[str, Shape]:
        """Shapes of what it learns, by the names that its weights have behind its place."""
        return {}

    def expand(self) -> Graph:
        return Graph(self.in_shapes, (Node("", self, input_names(self.in_shapes)),), ("",))


@dataclass(frozen=True, kw_only=True)
class Conv(Primitive):
    """A square convolution, padded so that the output's size is the input's over the stride, rounded up."""

    kind: ClassVar[str] = "conv"
    c_out: int
    kernel: int
    stride: int
    groups: int
    bias: bool

    @property
    def out_shape(self) -> Shape:
        _, height, width = self.shape
        return self.c_out, -(-height // self.stride), -(-width // self.stride)

    @property
    def parameters(self) -> Mapping[str, Shape]:
        weight = {"weight": (self.c_out, self.shape[0] // self.groups, self.kernel, self.kernel)}
        return weight | ({"bias": (self.c_out,)} if self.bias else {})

    @property
    def is_pointwise(self) -> bool:
        """A matrix product of each pixel's channels (of those that the stride leaves)."""
        return self.kernel == 1 and self.groups == 1

    def _details(self) -> str:
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        return f" k{self.kernel} s{self.stride}{groups}{' bias' if self.bias else ''}"


@dataclass(frozen=True, kw_only=True)
class Linear(Primitive):
    """A matrix product and a bias: (C,) -> (c_out,)."""

    kind: ClassVar[str] = "linear"
    c_out: int

    @property
    def out_shape(self) -> Shape:
        return (self.c_out,)

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": (self.c_out, *self.shape), "bias": (self.c_out,)}


@dataclass(frozen=True, kw_only=True)
class Norm(Primitive):
    """Batch normalisation, per channel; beside its parameters it has running statistics."""

    kind: ClassVar[str] = "norm"
    in_place: ClassVar[bool] = True

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": self.shape[:1], "bias": self.shape[:1]}


@dataclass(frozen=True, kw_only=True)
class Activation(Primitive):
    """One of :data:`ACTIVATIONS`, element by element."""

    kind: ClassVar[str] = "activation"
    in_place: ClassVar[bool] = True
    act: str

    def _details(self) -> str:
        return f" {self.act}"


@dataclass(frozen=True, kw_only=True)
class Pool(Primitive):
    """Global average pooling: (C, H, W) -> (C, 1, 1)."""

    kind: ClassVar[str] = "pool"

    @property
    def out_shape(self) -> Shape:
        return self.shape[0], 1, 1


@dataclass(frozen=True, kw_only=True)
class Flatten(Primitive):
    """(C, H, W) -> (C·H·W,)."""

    kind: ClassVar[str] = "flatten"
    in_place: ClassVar[bool] = True

    @property
    def out_shape(self) -> Shape:
        return (prod(self.shape),)


@dataclass(frozen=True, kw_only=True)
class Add(Primitive):
    """Sum of two values of one shape."""

    kind: ClassVar[str] = "add"
    in_place: ClassVar[bool] = True

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return self.shape, self.shape


@dataclass(frozen=True, kw_only=True)
class Multiply(Primitive):
    """Product of a value with one number a channel, (C, H, W) and (C, 1, 1), as a gate has it."""

    kind: ClassVar[str] = "multiply"
    in_place: ClassVar[bool] = True

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return self.shape, (self.shape[0], 1, 1)


class Draft:
    """A graph being written: each method adds a node at a place, the primitive of its name, and returns its name.

    Args:
        in_shape: of what goes in.

    Attributes:
        input: name of what goes in.
    """

    def __init__(self, in_shape: Shape) -> None:
        self.input = INPUT
        self._in_shape = in_shape
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {INPUT: in_shape}

    def conv(
        self, place: str, x: str, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = False
    ) -> str:
        conv = Conv(shape=self._shapes[x], c_out=c_out, kernel=kernel, stride=stride, groups=groups, bias=bias)
        return self._add(place, conv, x)

    def norm(self, place: str, x: str) -> str:
        return self._add(place, Norm(shape=self._shapes[x]), x)

    def act(self, place: str, x: str, act: str) -> str:
        return self._add(place, Activation(shape=self._shapes[x], act=act), x)

    def pool(self, place: str, x: str) -> str:
        return self._add(place, Pool(shape=self._shapes[x]), x)

    def flatten(self, place: str, x: str) -> str:
        return self._add(place, Flatten(shape=self._shapes[x]), x)

    def linear(self, place: str, x: str, c_out: int) -> str:
        return self._add(place, Linear(shape=self._shapes[x], c_out=c_out), x)

    def add(self, place: str, x: str, y: str) -> str:
        return self._add(place, Add(shape=self._shapes[x]), x, y)

    def multiply(self, place: str, x: str, gate: str) -> str:
        return self._add(place, Multiply(shape=self._shapes[x]), x, gate)

    def graph(self, output: str) -> Graph:
        """The whole, which gives ``output``."""
        return Graph((self._in_shape,), tuple(self._nodes), (output,))

    def _add(self, place: str, op: Primitive, *inputs: str) -> str:
        self._nodes.append(Node(place, op, inputs))
        self._shapes[place] = op.out_shape
        return place
