"""Which nodes of an ONNX model each layer of OpenVINO's execution graph computes.

OpenVINO rewrites a model in many ways and keeps names where it can: a layer tells some of the nodes that went into it,
and what was put together anew (a hard-swish, a split made of slices) may bear a name of no model. So names say in which
values of the model layers end, and what lies between the ends of two layers is the second's. The result is held against
the layers' own connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto

from hwnas.graph.kernel import Launch, Value
from hwnas.onnx.kernels import Part
from hwnas.runtimes.openvino_layers import Edge, Layer

_KINDS = {
    "f32": "float", "bf16": "float", "f16": "float", "float32": "float", "float64": "float", "float16": "float",
    "bfloat16": "float", "u8": "8 bits", "i8": "8 bits", "int8": "8 bits", "uint8": "8 bits", "bool": "8 bits",
}  # fmt: skip
"""Of precisions and dtypes, as far as OpenVINO keeps them apart: it computes floats in what it was asked for."""


@dataclass(eq=False)
class Group:
    """Layers that are cut out together: one, unless they share a node or can't be told apart.

    Attributes:
        layers: their indices.
        nodes: of the model that they name.
        ends: {what others read of it: the model's value that this is}.
        inside: the nodes that it computes.
    """

    layers: list[int]
    nodes: frozenset[int]
    ends: dict[Edge, str] = field(default_factory=dict)
    inside: set[int] = field(default_factory=set)


class Matching:
    """Groups of layers, and the ends between them."""

    def __init__(self, proto: ModelProto, layers: Sequence[Layer], values: Mapping[str, Value]) -> None:
        self._layers, self._values, self._nodes = layers, values, proto.graph.node
        self._outputs = [output.name for output in proto.graph.output]
        self._inputs = {entry.name for entry in proto.graph.input}
        self._maker = {name: index for index, node in enumerate(self._nodes) for name in node.output if name}
        self._before = self._ancestors()
        self._readers: dict[Edge, list[int]] = {}
        for index, layer in enumerate(layers):
            for edge in () if layer.moves else layer.takes:
                self._readers.setdefault(self._origin(edge), []).append(index)
        self._of_layer: dict[int, Group] = {}
        self._of_node: dict[int, Group] = {}
        for index, layer in enumerate(layers):
            if not layer.moves and layer.type not in ("Input", "Output"):
                sharing = {id(g): g for n in layer.nodes if (g := self._of_node.get(n))}
                self._join(Group([index], layer.nodes), *sharing.values())
        while group := self._endless():
            readers = [self._of_layer.get(index) for edge in self._gives(group) for index in self._readers[edge]]
            self._join(group, *(each for each in readers if each))
        self._ends = {end for group in self.groups for end in group.ends.values()}

    @property
    def groups(self) -> list[Group]:
        """In the order of their last layers."""
        every = {id(group): group for group in self._of_layer.values()}
        return sorted(every.values(), key=lambda group: group.layers[-1])

    def _ancestors(self) -> list[int]:
        """For each node a number in whose bits those that it depends on are set, itself included."""
        found: list[int] = []
        for index, node in enumerate(self._nodes):
            bits = 1 << index
            for name in node.input:
                if name in self._maker:
                    bits |= found[self._maker[name]]
            found.append(bits)
        return found

    def _join(self, *groups: Group) -> None:
        layers = sorted({index for group in groups for index in group.layers})
        joined = Group(layers, frozenset().union(*(group.nodes for group in groups)))
        self._of_layer |= dict.fromkeys(joined.layers, joined)
        self._of_node |= dict.fromkeys(joined.nodes, joined)

    def _origin(self, edge: Edge) -> Edge:
        """What was laid out anew, or converted, to become this."""
        while (layer := self._layers[edge.layer]).moves:
            (edge,) = layer.takes
        return edge

    def _gives(self, group: Group) -> list[Edge]:
        """What others read of it."""
        edges = [edge for index in group.layers for edge in self._layers[index].gives]
        return [edge for edge in edges if set(self._readers.get(edge, ())) - set(group.layers)]

    def _endless(self) -> Group | None:
        """Find all ends, from the last group to the first; a group whose ends can't be told, or None."""
        for group in reversed(self.groups):
            for edge in self._gives(group):
                end = self._said_end(edge) or self._end_before_readers(group, edge)
                if end is None:
                    return group
                group.ends[edge] = end
        return None

    def _said_end(self, edge: Edge) -> str | None:
        """By the names of the model's outputs, or of the layer's own last node."""
        for reader in self._readers[edge]:
            if said := self._layers[reader].output:
                return str(self._nodes[said[0]].output[said[1]])
        layer = self._layers[edge.layer]
        if layer.renamed or not layer.nodes:
            return None
        outputs = self._nodes[max(layer.nodes)].output
        return str(outputs[edge.port]) if edge.port < len(outputs) and self._fits(outputs[edge.port], edge) else None

    def _fits(self, name: str, edge: Edge) -> bool:
        value = self._values.get(name)
        return value is not None and value.shape == edge.shape and _kind(value.dtype) == _kind(edge.precision)

    def _end_before_readers(self, group: Group, edge: Edge) -> str | None:
        """The value that readers begin with, looking back from where they end."""
        made = self._made_of(group)
        found: dict[str, None] = {}
        for index in self._readers[edge]:
            reader = self._of_layer[index]
            theirs = _bits(reader.nodes)
            seen: set[int] = set()
            ahead = [self._maker[end] for end in reader.ends.values() if end in self._maker]
            while ahead:
                node = ahead.pop()
                if node in seen or self._of_node.get(node, reader) is not reader:
                    continue
                seen.add(node)
                for name in self._nodes[node].input:
                    maker = self._maker.get(name)
                    if maker is None:
                        continue
                    before = self._before[maker]
                    if before & made and not before & theirs and self._fits(name, edge):
                        found[name] = None
                    else:
                        ahead.append(maker)
        free = [name for name in found if name not in group.ends.values()]
        return min(free, key=lambda name: self._maker[name], default=None)

    def _made_of(self, group: Group) -> int:
        """Bits of the nodes that what it gives depends on for sure: its own, or those of what it reads."""
        while not group.nodes:
            takes = [self._origin(edge).layer for index in group.layers for edge in self._layers[index].takes]
            before = [self._of_layer[layer] for layer in takes if layer in self._of_layer and layer not in group.layers]
            if not before:
                return -1
            group = before[0]
        return _bits(group.nodes)

    # what lies between

    def part(self, group: Group) -> tuple[Part, str]:
        """What is to be cut out, and why it can't be, or nothing."""
        takes = [edge for index in group.layers for edge in self._layers[index].takes]
        expected = {self.name_of(edge): edge for edge in takes if self._origin(edge).layer not in group.layers}
        read = self._collect(group)
        what = " and ".join(self._layers[index].type for index in group.layers)
        if not group.inside:
            return Part(self._layers[group.layers[0]].name, []), f"OpenVINO's own {what}"
        nodes = [self._nodes[index] for index in sorted(group.inside)]
        name = "+".join(map(_name, nodes))
        if read != expected.keys():
            return Part(name, nodes), f"it isn't clear which nodes OpenVINO's {what} computes"
        edges = {end: edge for edge, end in group.ends.items()} | expected
        return Part(name, nodes, {end: _in_memory(self._values[end], edge) for end, edge in edges.items()}), ""

    def _collect(self, group: Group) -> set[str]:
        """Fill ``inside``; the values that these nodes read of others."""
        read: set[str] = set()
        ahead = [self._maker[end] for end in group.ends.values() if end in self._maker]
        others = self._ends - set(group.ends.values())
        while ahead:
            node = ahead.pop()
            if node in group.inside:
                continue
            group.inside.add(node)
            for name in self._nodes[node].input:
                if name in others or name in self._inputs:
                    read.add(name)
                elif name in self._maker:
                    ahead.append(self._maker[name])
        return read

    def name_of(self, edge: Edge) -> str:
        """The model's value that an edge is."""
        origin = self._origin(edge)
        group = self._of_layer.get(origin.layer)
        return group.ends.get(origin, "") if group else self._layers[origin.layer].name

    def lost(self) -> Iterator[Launch]:
        """Nodes that the model's outputs depend on and that are in no layer."""
        needed = 0
        for name in self._outputs:
            needed |= self._before[self._maker[name]] if name in self._maker else 0
        inside = {index for group in self.groups for index in group.inside}
        for index, node in enumerate(self._nodes):
            if needed >> index & 1 and index not in inside:
                yield Launch(_name(node), None, "in no layer that OpenVINO runs")


def _in_memory(value: Value, edge: Edge) -> Value:
    stored = "bfloat16" if edge.precision == "bf16" and value.dtype == "float32" else None
    return value.model_copy(update={"stored": stored, "channels_last": edge.channels_last})


def _kind(precision: str) -> str:
    return _KINDS.get(precision, "integer")


def _bits(nodes: frozenset[int]) -> int:
    return sum(1 << node for node in nodes)


def _name(node: NodeProto) -> str:
    return node.name or next(name for name in node.output if name)
