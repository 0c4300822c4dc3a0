"""`Edit`: a model while it is rewritten: who gives and who reads a value, what is constant, which shapes are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.errors import ModelError, first_line

Array = npt.NDArray[Any]
Shape = tuple[int | str, ...]
"""Of a value; a name, or an empty one, stands for a size that the model leaves open."""


class Rewritten(NamedTuple):
    """What a rewrite gave.

    Attributes:
        model: computes the same function; the model that was given is left as it was.
        places: names of the nodes that were rewritten, or of the constants that were left out.
    """

    model: ModelProto
    places: tuple[str, ...]


class Edit:
    """A copy of ``model`` to change node by node.

    Raises:
        ModelError: the model's shapes contradict each other, or a node holds a graph of its own.
    """

    def __init__(self, model: ModelProto) -> None:
        try:
            self._proto = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception as error:  # its exceptions share no public base
            raise ModelError(f"the model's shapes don't fit each other: {first_line(error)}") from None
        graph = self._proto.graph
        if any(each.HasField("g") or each.graphs for node in graph.node for each in node.attribute):
            raise ModelError("a node of the model holds another graph; only models without control flow are rewritten")
        self.opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
        self.nodes = list(graph.node)
        self.outputs = {output.name for output in graph.output}
        self.inputs = {entry.name for entry in graph.input}
        self.places: list[str] = []
        self._constants: dict[str, TensorProto] = {weight.name: weight for weight in graph.initializer}
        self._arrays: dict[str, Array] = {}
        self._types = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output, *graph.input)}
        self._givers = {name: node for node in self.nodes for name in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def giver(self, name: str) -> NodeProto | None:
        """The node that computes a value."""
        return self._givers.get(name)

    def readers(self, name: str) -> list[NodeProto]:
        return [] if not name else self._readers.get(name, [])

    def alone(self, name: str) -> bool:
        """Whether one node alone reads a value."""
        return name not in self.outputs and len(self.readers(name)) == 1

    def shape(self, name: str) -> Shape | None:
        """Of a value, None where even its rank is unknown."""
        if name in self._constants:
            return tuple(self._constants[name].dims)
        known = self._types.get(name)
        if known is None or not known.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in known.shape.dim)

    def kind(self, name: str) -> int:
        """A value's type as TensorProto numbers them, 0 where it isn't known."""
        if name in self._constants:
            return self._constants[name].data_type
        return self._types[name].elem_type if name in self._types else 0

    def is_float(self, name: str) -> bool:
        """Whether a value is known to be of float32."""
        return self.kind(name) == TensorProto.FLOAT

    def constant(self, name: str) -> Array | None:
        """What a constant holds."""
        if name not in self._constants:
            return None
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self._constants[name])
        return self._arrays[name]

    def scalar(self, name: str, beside: str) -> float | None:
        """The number of a constant that has one, and that changes no shape where it broadcasts with ``beside``."""
        array, shape = self.constant(name), self.shape(beside)
        fits = array is not None and array.size == 1 and array.ndim <= len(shape or ())
        return float(array.reshape(-1)[0]) if array is not None and fits else None

    def add_constant(self, array: Array, like: str) -> str:
        """A new constant, named after ``like``."""
        name = self._free(like)
        self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def set_constant(self, node: NodeProto, index: int, array: Array, like: str = "") -> None:
        """``node`` reads ``array`` as its input number ``index``, by the same name if nobody else reads that."""
        old = node.input[index] if index < len(node.input) else ""
        if old and len(self.readers(old)) == 1 and old not in self.outputs:
            self._constants[old] = numpy_helper.from_array(np.asarray(array, order="C"), old)
            self._arrays.pop(old, None)
            return
        new = self.add_constant(array, old or like)
        self._disconnect(node)
        node.input.extend([""] * (index + 1 - len(node.input)))
        node.input[index] = new
        self._connect(node)

    def add(self, kind: str, inputs: Sequence[str], at: NodeProto, like: str = "", **attributes: Any) -> str:
        """A new node in front of ``at``, named after it and ``like``; returns what it gives."""
        name = self._free(f"{at.name or at.output[0]}.{like or kind}")
        node = helper.make_node(kind, inputs, [name], name=name, **attributes)
        self.nodes.insert(next(i for i, each in enumerate(self.nodes) if each is at), node)
        self._connect(node)
        return name

    def replace(self, node: NodeProto, kind: str, inputs: Sequence[str], **attributes: Any) -> None:
        """``kind`` gives the one output of ``node`` instead."""
        self.places.append(node.name or node.output[0])
        self._disconnect(node)
        new = helper.make_node(kind, inputs, [node.output[0]], name=node.name, **attributes)
        node.CopyFrom(new)
        self._connect(node)

    def set_attribute(self, node: NodeProto, name: str, value: Any) -> None:
        for each in [each for each in node.attribute if each.name == name]:
            node.attribute.remove(each)
        node.attribute.append(helper.make_attribute(name, value))
        self.places.append(node.name or node.output[0])

    def drop(self, node: NodeProto, instead: str) -> bool:
        """Whoever reads the first output of ``node`` reads ``instead``; returns whether that could be done."""
        name = node.output[0]
        if name in self.outputs:  # its name must stay: the node that gives ``instead`` gives it from now on
            giver = self.giver(instead)
            if giver is None or instead in self.outputs:
                return False
            self._disconnect(node)
            self.nodes = [each for each in self.nodes if each is not node]
            for reader in list(self.readers(instead)):
                self._rename(reader, instead, name)
            giver.output[list(giver.output).index(instead)] = name
            self._givers[name] = giver
        else:
            for reader in list(self.readers(name)):
                self._rename(reader, name, instead)
        self.places.append(node.name or name)
        return True

    def become_constant(self, node: NodeProto, array: Array) -> None:
        """The one output of ``node`` is ``array``; the node goes."""
        self._disconnect(node)
        self.nodes = [each for each in self.nodes if each is not node]
        self._constants[node.output[0]] = numpy_helper.from_array(np.asarray(array, order="C"), node.output[0])
        self.places.append(node.name or node.output[0])

    def declare(self, name: str, like: str) -> None:
        """``name`` is of the shape and type of ``like``: for what shape inference can't tell."""
        known = onnx.ValueInfoProto(name=name)
        known.type.tensor_type.CopyFrom(self._types[like])
        self._proto.graph.value_info.append(known)

    def widen(self, name: str, channels: int) -> None:
        """What is known of a value's shape has so many channels from now on."""
        for value in self._proto.graph.value_info:
            if value.name == name:
                value.type.tensor_type.shape.dim[1].dim_value = channels

    def remove_unread(self) -> None:
        """Nodes and constants that nothing reads go."""
        read = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if read.isdisjoint(node.output):
                self._disconnect(node)
                self.places.append(node.name or node.output[0])
            else:
                kept.append(node)
                read.update(node.input)
        self.nodes = kept[::-1]
        self.places.extend(name for name in self._constants if name not in read)
        self._constants = {name: weight for name, weight in self._constants.items() if name in read}

    def done(self) -> Rewritten | None:
        """The model as it is now, without what nothing reads any more; None where nothing was changed."""
        if not (places := list(dict.fromkeys(self.places))):
            return None
        self.remove_unread()
        graph = self._proto.graph
        nodes = [NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        weights = [TensorProto.FromString(weight.SerializeToString()) for weight in self._constants.values()]
        given = {name for node in nodes for name in node.output}
        known = {value.name: value for value in graph.value_info if value.name in given}
        entries = [entry for entry in graph.input if entry.name not in self._constants]
        del graph.node[:], graph.initializer[:], graph.value_info[:], graph.input[:]
        graph.node.extend(nodes)
        graph.initializer.extend(weights)
        graph.value_info.extend(known.values())
        graph.input.extend(entries)
        return Rewritten(self._proto, tuple(places))

    def _free(self, like: str) -> str:
        taken = {*self._givers, *self._constants, *self._types}
        names = (like if not number else f"{like}.{number}" for number in range(len(taken) + 1))
        return next(name for name in names if name not in taken)

    def _connect(self, node: NodeProto) -> None:
        for name in node.input:
            self._readers.setdefault(name, []).append(node)
        for name in node.output:
            self._givers[name] = node

    def _disconnect(self, node: NodeProto) -> None:
        for name in node.input:
            self._readers[name] = [each for each in self._readers[name] if each is not node]

    def _rename(self, node: NodeProto, old: str, new: str) -> None:
        self._disconnect(node)
        node.input[:] = [new if name == old else name for name in node.input]
        self._connect(node)


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """What a node says, else ONNX's default."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def of_kind(edit: Edit, *kinds: str) -> Iterator[NodeProto]:
    """The nodes of ONNX's own domain that are of these kinds, in order, as they were when asked."""
    yield from [node for node in edit.nodes if node.op_type in kinds and node.domain in ("", "ai.onnx")]
