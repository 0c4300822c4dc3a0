"""Primitives: what all ops are made of. Three tables know them, and nothing else has to: what each costs
(:mod:`hwnas.graph.count`), its torch layer (:mod:`hwnas.nn.layers`) and its ONNX node (:mod:`hwnas.onnx.write`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from hwnas.errors import SpaceError
from hwnas.graph.graph import Graph, Node, Op, Shape, input_names

ACTIVATIONS = ("relu", "relu6", "hswish", "hsigmoid", "gelu")
"""Of `Activation`: ReLU, min(ReLU, 6), MobileNetV3's x·hsigmoid(x) and hsigmoid(x) = ReLU6(x + 3) / 6, and GELU in its
exact form, x·Φ(x) with the normal distribution's Φ (Hendrycks & Gimpel, arXiv 1606.08415, §2)."""

EPSILON = 1e-5
"""That batch and layer normalisation add to a variance."""


@dataclass(frozen=True, kw_only=True)
class Primitive(Op):
    """An op that isn't taken apart any further.

    Attributes:
        shape: of what goes in, the first of several.
        in_place: its result may take the place of what goes in, where nothing else reads that.
    """

    in_place: ClassVar[bool] = False
    shape: Shape

    @classmethod
    def taking(cls, shape: Shape) -> dict[str, Any]:
        return {"shape": shape}

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
    """A square convolution.

    Padded, its output's size is the input's over the stride, rounded up (kernels are odd there). Otherwise it sees
    whole windows only, as where an image is cut into patches.
    """

    kind: ClassVar[str] = "conv"
    c_out: int
    kernel: int
    stride: int
    groups: int
    bias: bool
    padded: bool = True

    @property
    def padding(self) -> int:
        """Pixels of zeros on each side."""
        return self.kernel // 2 if self.padded else 0

    @property
    def out_shape(self) -> Shape:
        unseen = 0 if self.padded else self.kernel - 1
        _, height, width = self.shape
        return self.c_out, *(-(-(size - unseen) // self.stride) for size in (height, width))

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
        words = f"{groups}{' bias' if self.bias else ''}{'' if self.padded else ' unpadded'}"
        return f" k{self.kernel} s{self.stride}{words}"


@dataclass(frozen=True, kw_only=True)
class Linear(Primitive):
    """A matrix product and a bias, of a vector or of each token alike: (C,) -> (c_out,), (N, C) -> (N, c_out)."""

    kind: ClassVar[str] = "linear"
    c_out: int

    @property
    def out_shape(self) -> Shape:
        return (*self.shape[:-1], self.c_out)

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": (self.c_out, self.shape[-1]), "bias": (self.c_out,)}


@dataclass(frozen=True, kw_only=True)
class Norm(Primitive):
    """Batch normalisation, per channel; beside its parameters it has running statistics."""

    kind: ClassVar[str] = "norm"
    in_place: ClassVar[bool] = True

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": self.shape[:1], "bias": self.shape[:1]}


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Primitive):
    """Layer normalisation over the channels of each token (Ba et al., arXiv 1607.06450): (N, C) or (C,)."""

    kind: ClassVar[str] = "layer-norm"
    in_place: ClassVar[bool] = True

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": self.shape[-1:], "bias": self.shape[-1:]}


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


@dataclass(frozen=True, kw_only=True)
class Scale(Primitive):
    """Product with a fixed number."""

    kind: ClassVar[str] = "scale"
    in_place: ClassVar[bool] = True
    factor: float

    def _details(self) -> str:
        return f" {self.factor:.4g}"


@dataclass(frozen=True, kw_only=True)
class Softmax(Primitive):
    """Over the last dimension."""

    kind: ClassVar[str] = "softmax"
    in_place: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Matmul(Primitive):
    """The matrix product of two values, one for each of their first dimensions: (…, N, K) and (…, K, M) -> (…, N, M).

    Attributes:
        columns: M.
    """

    kind: ClassVar[str] = "matmul"
    columns: int

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return self.shape, (*self.shape[:-2], self.shape[-1], self.columns)

    @property
    def out_shape(self) -> Shape:
        return (*self.shape[:-1], self.columns)


@dataclass(frozen=True, kw_only=True)
class Reshape(Primitive):
    """The same numbers in the same order, in another shape."""

    kind: ClassVar[str] = "reshape"
    in_place: ClassVar[bool] = True
    to: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        if prod(self.to) != prod(self.shape):
            raise SpaceError(f"op {self.kind}: {self.shape} holds other numbers than {self.to}")

    @property
    def out_shape(self) -> Shape:
        return self.to


@dataclass(frozen=True, kw_only=True)
class Transpose(Primitive):
    """Dimensions in another order, counted from 1: (N, H, D) in order (2, 1, 3) becomes (H, N, D)."""

    kind: ClassVar[str] = "transpose"
    order: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        if sorted(self.order) != list(range(1, len(self.shape) + 1)):
            raise SpaceError(f"op {self.kind}: {self.order} isn't an order of {len(self.shape)} dimensions")

    @property
    def out_shape(self) -> Shape:
        return tuple(self.shape[place - 1] for place in self.order)

    def _details(self) -> str:
        return f" order {','.join(map(str, self.order))}"


@dataclass(frozen=True, kw_only=True)
class Position(Primitive):
    """What a transformer learns of where its tokens are: an array (N, C) that is added to them.

    Attributes:
        token: a learned class token goes in front of them first (Dosovitskiy et al., arXiv 2010.11929, §3.1), so that
            one more comes out. A deployed network holds the sum of that token and its position.
    """

    kind: ClassVar[str] = "position"
    token: bool

    @property
    def out_shape(self) -> Shape:
        return self.shape[0] + self.token, self.shape[1]

    @property
    def parameters(self) -> Mapping[str, Shape]:
        return {"weight": self.out_shape} | ({"token": self.shape[1:]} if self.token else {})

    def _details(self) -> str:
        return " with a class token" if self.token else ""


@dataclass(frozen=True, kw_only=True)
class TokenPool(Primitive):
    """(N, C) -> (C,): the first token, where it is a class ``token``, else the mean of all."""

    kind: ClassVar[str] = "token-pool"
    token: bool

    @property
    def out_shape(self) -> Shape:
        return self.shape[1:]

    def _details(self) -> str:
        return " first" if self.token else " mean"
