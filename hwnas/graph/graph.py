"""`Graph`: a network, or a part of one, as ops in topological order. It knows shapes and no weights.

All of hwnas speaks of networks by their graphs: they are counted, built, written to ONNX, checked, profiled and drawn
by walking one once. A graph's ops may be blocks; :meth:`Graph.expanded` has primitives only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

from hwnas.brief import Brief
from hwnas.errors import SpaceError, shown
from hwnas.registry import import_all

Shape = tuple[int, ...]
"""Of one image's values, without the batch: (C, H, W), (N, C) for tokens, or (C,) for a vector."""

INPUT = "input"
"""What nodes call the value that goes into a graph; graphs of several have ``input``, ``input.1``, …"""

_LARGEST = 2**31  # of a number in an op
_KINDS: dict[str, type[Op]] = {}
_ELSEWHERE = {"module": "hwnas.nn.module_op"}
"""Kinds that hwnas has above the layer of ops, since it takes more than primitives to know them: found by name."""
_TOLD_BY_SHAPES = ("shape", "c_in", "h_in", "w_in", "c_out", "tokens")
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "str": (str,), "Shape": (list, tuple),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Op:
    """One shape-complete layer or block: what it computes and nothing of its weights.

    Ops are frozen and hashable: an Op *is* the key of a latency table. Subclasses register themselves under their
    ``kind``, which can be taken only once.

    Attributes:
        kind: name in files.
        skips: in a plain network this op isn't there: what comes in goes on as it is.
        starts_as_identity: before training it passes its input on unchanged.
    """

    kind: ClassVar[str]
    skips: ClassVar[bool] = False
    starts_as_identity: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            return  # what kinds have in common
        if cls.kind in _KINDS:
            raise TypeError(f"op kind {cls.kind!r} is already taken by {_KINDS[cls.kind].__name__}")
        _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        for name, kind in field_types(type(self)).items():
            value = getattr(self, name)
            if kind in ("int", "float") and (isinstance(value, bool) or not 0 < value <= _LARGEST):
                least = "a positive number" if not value > 0 else f"at most {_LARGEST}"
                raise SpaceError(f"op {self.kind}: {name} must be {least}, got {shown(value)}")
            if kind == "float":
                object.__setattr__(self, name, float(value))  # 3 and 3.0 are one Op, in files as well
            if kind == "Shape":
                if not value or not all(type(size) is int and 0 < size <= _LARGEST for size in value):
                    raise SpaceError(f"op {self.kind}: {name} must be positive sizes, got {shown(value)}")
                object.__setattr__(self, name, tuple(value))

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        """Of each value that goes in."""
        raise NotImplementedError

    @property
    def out_shape(self) -> Shape:
        """Of the value that comes out."""
        return expanded(self).out_shape

    def expand(self) -> Graph:
        """The primitives that compute it; a primitive is its own. :func:`expanded` remembers it."""
        raise NotImplementedError

    @classmethod
    def taking(cls, shape: Shape) -> dict[str, Any]:
        """Those of its fields that say that a value of ``shape`` goes in.

        Raises:
            SpaceError: it takes no such value.
        """
        raise SpaceError(f"{cls.kind} can't stand in a chain: it doesn't say what it takes")

    @classmethod
    def made(cls, shape: Shape, given: Mapping[str, Any]) -> Op:
        """The op that takes a value of ``shape`` and has these fields, which are all others.

        Raises:
            SpaceError: it takes no such value; or a field is missing, unknown, out of range, or follows from the shape.
        """
        taken = cls.taking(shape)
        if own := sorted(taken.keys() & given.keys()):
            raise SpaceError(f"{own[0]} follows from what is in front; leave it out")
        return Op.from_dict({**taken, **given})

    def to_dict(self) -> dict[str, Any]:
        """A flat mapping of plain values, ``kind`` first: what files hold."""
        return {"kind": self.kind, **{f.name: getattr(self, f.name) for f in fields(self)}}

    @staticmethod
    def of_kind(kind: str) -> type[Op] | None:
        """The class of that kind, where hwnas or an installed package has one."""
        if kind in _ELSEWHERE:
            import_module(_ELSEWHERE[kind])
        if kind not in _KINDS:
            import_all("hwnas.spaces")  # a package's blocks register themselves when its space is imported
        return _KINDS.get(kind)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Op:
        """The Op that ``to_dict`` described.

        Raises:
            SpaceError: unknown kind, or a field missing, unknown or out of range.
        """
        kind = data.get("kind")
        cls = Op.of_kind(kind) if isinstance(kind, str) else None
        if cls is None:
            broken = [f"{name} can't be imported ({why})" for name, why in import_all("hwnas.spaces").items()]
            why = "; ".join(("the package that brings it isn't installed here, install it", *broken))
            raise SpaceError(f"unknown op kind {kind!r:.80}; known: {', '.join(sorted(_KINDS))}; {why}")
        expected = field_types(cls)
        given = {k: v for k, v in data.items() if k != "kind"}
        if missing := sorted(expected.keys() - given.keys()):
            raise SpaceError(f"op {kind}: missing field {missing[0]!r}")
        if unknown := sorted(given.keys() - expected.keys(), key=str):
            raise SpaceError(f"op {kind}: unknown field {shown(unknown[0])}; it has {', '.join(expected)}")
        for name, value in given.items():
            wanted = _FIELD_TYPES[expected[name]]
            if not isinstance(value, wanted) or (isinstance(value, bool) and expected[name] != "bool"):
                raise SpaceError(f"op {kind}: {name} must be {expected[name]}, got {shown(value)}")
        return cls(**given)

    @property
    def label(self) -> str:
        """What it is, without its shapes, as a person reads it."""
        return ", ".join((self.kind, *self._fields()))

    @property
    def short(self) -> str:
        """The same in a word or two, as a choice beside others."""
        return "skip" if self.skips else " ".join((self.kind, *self._fields()))

    @property
    def caption(self) -> str:
        """A word or two under its picture."""
        return ""

    @property
    def family(self) -> str:
        """What it has in common with ops of which it is said together what they cost in a network."""
        return self.kind

    def __str__(self) -> str:
        shapes = "->".join("x".join(map(str, shape)) for shape in (self.in_shapes[0], self.out_shape))
        return f"{self.kind} {shapes}{self._details()}"

    def _details(self) -> str:
        return "".join(f" {text}" for text in self._fields())

    def _fields(self) -> list[str]:
        """Those that its shapes don't tell, so that no two ops of a layer read alike."""
        names = [name for name in field_types(type(self)) if name not in _TOLD_BY_SHAPES]
        return [f"{name} {getattr(self, name)}" for name in names]


def field_types(op: type[Op]) -> dict[str, str]:
    """name -> ``int``, ``float``, ``bool``, ``str`` or ``Shape``, of each field of a kind of Op."""
    return {f.name: f.type if isinstance(f.type, str) else f.type.__name__ for f in fields(op)}


def input_names(in_shapes: tuple[Shape, ...]) -> tuple[str, ...]:
    return tuple(f"{INPUT}.{index}" if index else INPUT for index in range(len(in_shapes)))


def channels(shape: Shape) -> int:
    """C of a shape."""
    return shape[-1] if len(shape) == 2 else shape[0]


class Node(NamedTuple):
    """An op of a graph.

    Attributes:
        place: its name in the graph, which is also that of its weights, such as ``layers.3.conv1``; may be empty in a
            graph of one node. It names the value that comes out as well.
        op: what it computes.
        inputs: names of the values that go in.
    """

    place: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Graph(Brief):
    """Nodes in topological order.

    Attributes:
        in_shapes: of the values that go in.
        nodes: each reads what goes in or what comes from earlier nodes.
        outputs: names of the values that come out.
        shapes: name -> shape, of all values.

    Raises:
        SpaceError: a place is there twice, or a node reads a value that isn't there, or of a shape it doesn't take.
    """

    in_shapes: tuple[Shape, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Shape] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shapes = dict(zip(self.inputs, self.in_shapes, strict=True))
        for place, op, inputs in self.nodes:
            if place in shapes:
                raise SpaceError(f"a graph has two nodes called {place!r}")
            if given := [name for name in inputs if name not in shapes]:
                raise SpaceError(f"{place} of a graph reads {given[0]!r}, which isn't there before it")
            if (got := tuple(shapes[name] for name in inputs)) != op.in_shapes:
                raise SpaceError(f"{place} of a graph takes {op.in_shapes}, but {got} goes in")
            shapes[place] = op.out_shape
        if lost := [name for name in self.outputs if name not in shapes]:
            raise SpaceError(f"a graph's output {lost[0]!r} isn't there")
        object.__setattr__(self, "shapes", shapes)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that go in."""
        return input_names(self.in_shapes)

    @property
    def out_shape(self) -> Shape:
        """Of the first output."""
        return self.shapes[self.outputs[0]]

    @property
    def ops(self) -> tuple[Op, ...]:
        """Of all nodes, in order."""
        return tuple(node.op for node in self.nodes)

    def __getitem__(self, place: str) -> Op:
        return self._by_place[place].op

    def __contains__(self, place: object) -> bool:
        return place in self._by_place

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def _by_place(self) -> dict[str, Node]:
        return {node.place: node for node in self.nodes}

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        """name -> the nodes that read the value, in order; each as often as it reads it."""
        found: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def maker(self, name: str) -> Node | None:
        """The node that a value comes from; None for what goes in."""
        return self._by_place.get(name)

    @cached_property
    def expanded(self) -> Graph:
        """The same in primitives: the places of a block's parts are behind its own, as ``layers.3.conv1``."""
        nodes: list[Node] = []
        names = {name: name for name in self.inputs}
        for place, op, inputs in self.nodes:
            part = expanded(op)
            inner = dict(zip(part.inputs, (names[name] for name in inputs), strict=True))
            for sub in part.nodes:
                inner[sub.place] = ".".join(filter(None, (place, sub.place)))
                nodes.append(Node(inner[sub.place], sub.op, tuple(inner[name] for name in sub.inputs)))
            names[place] = inner[part.outputs[0]]
        return Graph(self.in_shapes, tuple(nodes), tuple(names[name] for name in self.outputs))


@cache
def expanded(op: Op) -> Graph:
    """``op.expand()``, made once for equal ops."""
    return op.expand()


def chain(in_shape: Shape, parts: tuple[tuple[str, Op], ...]) -> Graph:
    """The graph in which each op reads what the one before it gives."""
    places = [INPUT, *(place for place, _ in parts)]
    nodes = tuple(Node(place, op, (before,)) for before, (place, op) in zip(places[:-1], parts, strict=True))
    return Graph((in_shape,), nodes, (places[-1],))
