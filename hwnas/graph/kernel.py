"""`Kernel`: what a runtime really launches, as the key of a table, and what its work is.

A runtime makes its own graph of a model: it folds, fuses, and changes layouts. A kernel is one node of *that* graph,
written down as the ONNX nodes that it computes, in the operators of whoever runs it (``com.microsoft.nchwc`` for ONNX
Runtime's blocked convolutions). It has shapes and no weights, so two models, or two places of one, share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, NonNegativeInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from hwnas.record import Record

DType = Literal[
    "float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64", "bool",
]  # fmt: skip
"""As NumPy calls it."""

_BYTES: dict[str, int] = {
    "float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2,
    "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "bool": 1,
}  # fmt: skip

ABSENT = -1
"""In place of a value: an optional input that isn't given."""

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


def _without_rare(told: dict[str, Any]) -> dict[str, Any]:
    """What a file says, without what nearly no kernel has: keys are of what is said."""
    return {name: value for name, value in told.items() if value or name not in _RARE}


_RARE = ("stored", "channels_last", "beside")


class Value(Record):
    """A tensor that goes into a kernel, out of it, or from one of its nodes to another.

    Attributes:
        dtype: of its elements.
        shape: the batch included.
        constant: it is in the model, as weights are.
        holds: of a small constant that decides the work, as shapes, axes and exponents do, what is in it.
        stored: its elements' dtype in memory, where that is another. A runtime that is asked for bfloat16 keeps so what
            the model has as float32.
        channels_last: (N, C, ...) lies in memory as (N, ..., C), and whoever runs the kernel alone hands it over so.
    """

    dtype: DType
    shape: tuple[NonNegativeInt, ...]
    constant: bool = False
    holds: tuple[int, ...] | tuple[float, ...] | None = None
    stored: DType | None = None
    channels_last: bool = False

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_rare(write(self))

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * _BYTES[self.stored or self.dtype]

    def __str__(self) -> str:
        return f"{'×'.join(map(str, self.shape)) or 'a number'} {self.stored or self.dtype}"


class KernelNode(Record):
    """An ONNX node of a kernel; ``inputs`` and ``outputs`` are indices of the kernel's values, or `ABSENT`."""

    op: Annotated[str, Field(min_length=1, max_length=100)]
    domain: Annotated[str, Field(max_length=100)] = ""
    attributes: tuple[tuple[str, Attribute], ...] = ()
    inputs: tuple[Annotated[int, Field(ge=ABSENT)], ...]
    outputs: Annotated[tuple[Annotated[int, Field(ge=ABSENT)], ...], Field(min_length=1)]

    @property
    def details(self) -> str:
        """What a person asks of it beside its shapes, such as `` 3×3 /2 g96``."""
        window, strides, groups = (self.attribute(name, ()) for name in ("kernel_shape", "strides", "group"))
        told = f" {'×'.join(map(str, window))}" if isinstance(window, tuple) and window else ""
        if isinstance(strides, tuple) and set(strides) - {1}:
            told += f" /{'×'.join(map(str, dict.fromkeys(strides)))}"
        return told + (f" g{groups}" if isinstance(groups, int) and groups > 1 else "")

    def moved(self, place: Mapping[int, int]) -> KernelNode:
        """The node in a kernel that has value ``i`` at ``place[i]``."""
        inputs, outputs = (tuple(place[index] for index in part) for part in (self.inputs, self.outputs))
        return self.model_copy(update={"inputs": inputs, "outputs": outputs})

    def attribute(self, name: str, default: Attribute) -> Attribute:
        """What the node says, or ONNX's default."""
        return dict(self.attributes).get(name, default)


class Kernel(Record):
    """One launch of a runtime; see the module's docstring.

    Attributes:
        opset: that the nodes of ONNX's own domain are of.
        nodes: in topological order.
        values: all tensors of it; those that no node gives and that aren't constant are its inputs.
        outputs: indices of the values that it gives.
        beside: so many of its first nodes aren't its own. They stand in front so that the others run as they do in a
            network; its latency is that of the whole less that of its `neighbour`.
    """

    opset: Annotated[int, Field(ge=1, le=1000)]
    nodes: Annotated[tuple[KernelNode, ...], Field(min_length=1)]
    values: tuple[Value, ...]
    outputs: tuple[NonNegativeInt, ...]
    beside: NonNegativeInt = 0

    @model_validator(mode="after")
    def _values_are_there(self) -> Self:
        used = (*self.outputs, *(index for node in self.nodes for index in (*node.inputs, *node.outputs)))
        if max(used, default=ABSENT) >= len(self.values) or self.beside >= len(self.nodes):
            raise ValueError("it has fewer values, or nodes, than it says")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_rare(write(self))

    @property
    def own(self) -> tuple[KernelNode, ...]:
        """Its nodes without those that stand in front."""
        return self.nodes[self.beside :]

    @property
    def neighbour(self) -> Kernel | None:
        """What stands in front, if anything does, as a kernel that gives what it gives here."""
        nodes = self.nodes[: self.beside]
        if not nodes:
            return None
        made = {index for node in nodes for index in node.outputs}
        used = sorted(made | {index for node in nodes for index in node.inputs if index != ABSENT})
        place = {index: new for new, index in enumerate(used)} | {ABSENT: ABSENT}
        return Kernel(
            opset=self.opset,
            nodes=tuple(node.moved(place) for node in nodes),
            values=tuple(self.values[index] for index in used),
            outputs=tuple(place[index] for index in self.outputs if index in made),
        )

    @cached_property
    def key(self) -> str:
        """Tells it apart from all others, in few letters."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def kind(self) -> str:
        """What it computes, in a word or several: ``Conv``, ``Conv+Add+Relu``; kernels of one kind are alike."""
        return "+".join(node.op for node in self.own)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the values that go in, in the order of their first use."""
        made = {index for node in self.nodes for index in node.outputs}
        used = dict.fromkeys(index for node in self.nodes for index in node.inputs)
        return tuple(i for i in used if i != ABSENT and i not in made and not self.values[i].constant)

    def __str__(self) -> str:
        shapes = ", ".join(str(self.values[index]) for index in self.inputs) or "nothing"
        told = "".join(node.details for node in self.own)
        return f"{self.kind}{told} of {shapes} -> {', '.join(str(self.values[index]) for index in self.outputs)}"


class Launch(NamedTuple):
    """A node of a runtime's graph.

    Attributes:
        name: of the model's own node, or nodes, that it computes.
        kernel: what is launched; None where it can't be cut out alone.
        uncut: why it can't.
    """

    name: str
    kernel: Kernel | None
    uncut: str = ""
