"""OpenVINO's execution graph as plain data: its layers, and which nodes of the ONNX model each of them names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hwnas.onnx.numbered import node_in, value_in

_MOVING = ("Reorder", "Convert")


class Edge(NamedTuple):
    """An output of a layer.

    Attributes:
        layer: its index.
        port: of the layer's outputs.
        precision, layout: as OpenVINO calls them, such as ``f32`` and ``acdb``: axes, the densest last.
    """

    layer: int
    port: int
    shape: tuple[int, ...]
    precision: str
    layout: str

    @property
    def channels_last(self) -> bool:
        axes = sorted(self.layout)
        return len(axes) > 2 and self.layout == "".join([axes[0], *axes[2:], axes[1]])

    @property
    def plain(self) -> bool:
        return self.layout == "".join(sorted(self.layout))


@dataclass(frozen=True)
class Layer:
    """Of the execution graph.

    Attributes:
        name, type: as OpenVINO calls it.
        nodes: indices of the model's nodes that it names.
        renamed: the last thing that went into it has a name that isn't the model's.
        output: of a model's output, the node and its port that give it.
        takes: what it reads, without constants.
        gives: its outputs.
    """

    name: str
    type: str
    nodes: frozenset[int]
    renamed: bool
    output: tuple[int, int] | None
    takes: tuple[Edge, ...]
    gives: tuple[Edge, ...]

    @property
    def moves(self) -> bool:
        """It computes nothing of the model's: it lays a value out anew, or converts it."""
        return self.type in _MOVING and not self.nodes


def layers_of(execution_graph: Any) -> list[Layer]:
    """The layers that don't depend on constants alone, in the order in which they run."""
    found: list[Layer] = []
    gives: dict[str, tuple[Edge, ...]] = {}
    for op in execution_graph.get_ordered_ops():
        told = op.get_rt_info()
        kind = str(told["layerType"].value)
        read = [source.get_source_output() for source in op.inputs()]
        known = [(source.get_node().get_name(), source.get_index()) for source in read]
        takes = tuple(gives[name][port] for name, port in known if name in gives)
        if kind == "Const" or (known and not takes):
            continue
        gives[op.get_name()] = tuple(_edges(op, told, len(found)))
        names = str(told["originalLayersNames"].value).split(",")
        nodes = frozenset(node for node in map(node_in, names) if node is not None)
        renamed = bool(names[-1]) and node_in(names[-1]) is None
        name = op.get_friendly_name()
        output = value_in(name) if kind == "Output" else None
        found.append(Layer(name, kind, nodes, renamed, output, takes, gives[op.get_name()]))
    return found


def _edges(op: Any, told: Any, layer: int) -> Iterator[Edge]:
    precisions, layouts = (str(told[key].value).split(",") for key in ("outputPrecisions", "outputLayouts"))
    for port, output in enumerate(op.outputs()):  # what is the same of all of them is told once
        precision, layout = (told[min(port, len(told) - 1)] for told in (precisions, layouts))
        yield Edge(layer, port, tuple(output.get_shape()), precision, layout)
