"""`Opaque`: a primitive that hwnas has no formula, layer or node for, and that answers for itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.graph.graph import Graph, Shape
from hwnas.graph.primitives import Primitive

if TYPE_CHECKING:
    from hwnas.graph.count import Cost


@dataclass(frozen=True, kw_only=True)
class Opaque(Primitive):
    """What the three tables ask of any other primitive, they ask such a one itself.

    Attributes:
        to: shape of what comes out.
    """

    to: Shape

    @property
    def out_shape(self) -> Shape:
        return self.to

    @property
    @abstractmethod
    def own_cost(self) -> Cost:
        """For :mod:`hwnas.graph.count`."""

    @property
    @abstractmethod
    def own_peak_elements(self) -> int:
        """Elements alive at one time while it computes, its input included."""

    @abstractmethod
    def own_layer(self, seed: int) -> Any:
        """For :mod:`hwnas.nn.layers`: an ``nn.Module`` with fresh weights."""

    @abstractmethod
    def own_nodes(self, weights: Mapping[str, Any] | None, opset: int) -> bytes:
        """For :mod:`hwnas.onnx.write`: an ONNX model of one input and one output, the batch open; weights by their
        names behind its place, or some that keep activations finite."""


def is_opaque(graph: Graph) -> bool:
    """Whether some of a network is."""
    return any(isinstance(op, Opaque) for op in graph.expanded.ops)
