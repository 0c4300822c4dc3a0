"""`Draft`: a block's expansion, written down in the order in which it computes."""

from __future__ import annotations

from hwnas.graph.graph import INPUT, Graph, Node, Shape
from hwnas.graph.primitives import (
    Activation,
    Add,
    Conv,
    Flatten,
    LayerNorm,
    Linear,
    Matmul,
    Multiply,
    Norm,
    Pool,
    Position,
    Primitive,
    Reshape,
    Scale,
    Softmax,
    TokenPool,
    Transpose,
)


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
        self, place: str, x: str, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = False,
        padded: bool = True,
    ) -> str:  # fmt: skip
        how = {"kernel": kernel, "stride": stride, "groups": groups}
        return self._add(place, Conv(shape=self._shapes[x], c_out=c_out, bias=bias, padded=padded, **how), x)

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

    def layer_norm(self, place: str, x: str) -> str:
        return self._add(place, LayerNorm(shape=self._shapes[x]), x)

    def scale(self, place: str, x: str, factor: float) -> str:
        return self._add(place, Scale(shape=self._shapes[x], factor=factor), x)

    def softmax(self, place: str, x: str) -> str:
        return self._add(place, Softmax(shape=self._shapes[x]), x)

    def matmul(self, place: str, x: str, y: str) -> str:
        return self._add(place, Matmul(shape=self._shapes[x], columns=self._shapes[y][-1]), x, y)

    def reshape(self, place: str, x: str, to: Shape) -> str:
        return self._add(place, Reshape(shape=self._shapes[x], to=to), x)

    def transpose(self, place: str, x: str, order: Shape) -> str:
        return self._add(place, Transpose(shape=self._shapes[x], order=order), x)

    def position(self, place: str, x: str, token: bool = False) -> str:
        return self._add(place, Position(shape=self._shapes[x], token=token), x)

    def token_pool(self, place: str, x: str, token: bool = False) -> str:
        return self._add(place, TokenPool(shape=self._shapes[x], token=token), x)

    def graph(self, output: str) -> Graph:
        """The whole, which gives ``output``."""
        return Graph((self._in_shape,), tuple(self._nodes), (output,))

    def _add(self, place: str, op: Primitive, *inputs: str) -> str:
        self._nodes.append(Node(place, op, inputs))
        self._shapes[place] = op.out_shape
        return place
