"""Channels padded with zeros to a multiple of a runtime's block, and taken away again.

Values that share their channels, because only nodes that work channel by channel lie between them, are a set. A set is
padded as a whole: the convolutions that give it get rows of zeros and zero biases, those that read it columns of zeros.
So whatever a padded channel holds, nobody's sum has it: the function stays the same, as long as it is finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from hwnas.errors import CountError
from hwnas.onnx.optimize.edit import Edit, Rewritten, attribute

_EACH = (
    "Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Softplus", "Gelu", "Mish",
    "Identity", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool",
)  # fmt: skip
"""Kinds that work channel by channel and give something finite of zeros."""
_PAIRS = ("Add", "Mul", "Sub")


@dataclass
class _Set:
    """Values that share their channels, and the convolutions around them; ``widths``: of groups of those within."""

    channels: int | None = None
    fixed: bool = False
    names: list[str] = field(default_factory=list)
    gives: list[NodeProto] = field(default_factory=list)
    within: list[NodeProto] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    reads: list[NodeProto] = field(default_factory=list)


def pad_channels(model: ModelProto, block: int) -> Rewritten | None:
    """Channels that aren't a multiple of ``block`` -> the next multiple, with zeros."""
    edit = Edit(model)
    for each in _sets(edit):
        if each.fixed or not each.channels or not each.gives or each.channels % block == 0:
            continue
        more = -each.channels % block
        if any(more % width for width in each.widths):
            continue
        for node in (*each.gives, *each.within):
            _pad(edit, node, 1, 0, more)
            if len(node.input) > 2:
                _pad(edit, node, 2, 0, more)
        for name in each.names:
            edit.widen(name, each.channels + more)
        for node, width in zip(each.within, each.widths, strict=True):
            edit.set_attribute(node, "group", (each.channels + more) // width)
        for node in each.reads:
            _pad(edit, node, 1, 1, more)
    return edit.done()


def shapes_before(model: ModelProto, padded: ModelProto) -> dict[str, tuple[int, ...]]:
    """Of the weights and biases of convolutions that :func:`pad_channels` made larger: the shapes that they had.

    Convolutions are the same where they give a value of the same name.
    """
    given = {node.output[0]: node for node in model.graph.node if node.op_type == "Conv"}
    dims = [{weight.name: tuple(weight.dims) for weight in each.graph.initializer} for each in (model, padded)]
    found = {}
    for node in padded.graph.node:
        old = given.get(node.output[0]) if node.op_type == "Conv" else None
        for before, after in zip(old.input[1:], node.input[1:], strict=False) if old is not None else ():
            old_dims, new_dims = dims[0].get(before, ()), dims[1].get(after, ())
            if old_dims[:1] != new_dims[:1] or (old is not None and _is_dense(old) and old_dims != new_dims):
                found[after] = old_dims
    return found


def _is_dense(node: NodeProto) -> bool:
    """Whether its inputs are padded; those of a group are merged, if anything."""
    return bool(attribute(node, "group", 1) == 1)


def without_padding(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> ModelProto:
    """What :func:`pad_channels` did, undone: constants cut to ``shapes``, which are those they had, by their names.

    Raises:
        CountError: there is no such constant, it isn't larger, or what is cut off isn't all zeros.
    """
    plain = ModelProto()
    plain.CopyFrom(model)
    graph = plain.graph
    weights = {weight.name: weight for weight in graph.initializer}
    for name, shape in shapes.items():
        if name not in weights:
            raise CountError(f"the exported graph has no constant {name} that zeros could be in")
        array = numpy_helper.to_array(weights[name])
        if len(shape) != array.ndim or not all(0 < less <= size for less, size in zip(shape, array.shape, strict=True)):
            raise CountError(f"{name} of the exported graph is {array.shape}, which zeros can't have made of {shape}")
        kept = array[tuple(slice(size) for size in shape)]
        if (added := np.count_nonzero(array) - np.count_nonzero(kept)) or not np.isfinite(array).all():
            raise CountError(f"{name} of the exported graph holds {added:,} numbers where its padding has to be zero")
        weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(kept), name))
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in shapes and attribute(node, "group", 1) > 1:
            outputs, width = shapes[node.input[1]][:2]
            next(each for each in node.attribute if each.name == "group").i = outputs // width
    del graph.value_info[:]  # whose shapes are the padded ones
    return plain


def _pad(edit: Edit, node: NodeProto, index: int, axis: int, more: int) -> None:
    array = edit.constant(node.input[index])
    assert array is not None
    widths = [(0, more if number == axis else 0) for number in range(array.ndim)]
    edit.set_constant(node, index, np.pad(array, widths))
    edit.places.append(node.name or node.output[0])


def _sets(edit: Edit) -> list[_Set]:
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    fixed = set(edit.outputs) | edit.inputs
    gives, within, reads = [], [], []
    for node in edit.nodes:
        kind = node.op_type if node.domain in ("", "ai.onnx") else ""
        if kind == "Conv" and (width := _width(edit, node)) is not None:
            if width == 0:
                gives.append(node)
                reads.append(node)
            else:
                within.append((node, width))
                parents[root(node.input[0])] = root(node.output[0])
        elif kind in _EACH or (kind in _PAIRS and _alike(edit, node)) or (kind == "Resize" and _in_plane(edit, node)):
            for name in node.input:
                if name and edit.constant(name) is None:
                    parents[root(name)] = root(node.output[0])
            fixed.update(node.output[1:])
        else:
            fixed.update((*node.input, *node.output))
    sets: dict[str, _Set] = {}
    for name in dict.fromkeys([*parents, *(name for node in gives for name in (node.input[0], node.output[0]))]):
        found = sets.setdefault(root(name), _Set())
        shape = edit.shape(name)
        channels = shape[1] if shape is not None and len(shape) > 2 else ""
        found.fixed |= name in fixed or not isinstance(channels, int) or found.channels not in (None, channels)
        found.channels = channels if isinstance(channels, int) else None
        found.names.append(name)
    for node in gives:
        sets[root(node.output[0])].gives.append(node)
        sets[root(node.input[0])].reads.append(node)
    for node, width in within:
        sets[root(node.output[0])].within.append(node)
        sets[root(node.output[0])].widths.append(width)
    return list(sets.values())


def _width(edit: Edit, node: NodeProto) -> int | None:
    """Channels in a group that takes and gives as many: 1 of a depthwise one, 0 of a dense one, None of any other."""
    weight = edit.constant(node.input[1])
    biases = [edit.constant(name) for name in node.input[2:] if name]
    if weight is None or weight.dtype != np.float32 or any(bias is None for bias in biases):
        return None
    groups = int(attribute(node, "group", 1))
    if groups == 1:
        return 0
    return int(weight.shape[1]) if weight.shape[0] == groups * weight.shape[1] else None


def _alike(edit: Edit, node: NodeProto) -> bool:
    """Whether both sides have the same channels, or one is a number."""
    one, other = node.input
    if edit.constant(one) is not None or edit.constant(other) is not None:
        return edit.scalar(one, beside=other) is not None or edit.scalar(other, beside=one) is not None
    a, b = edit.shape(one), edit.shape(other)
    return a is not None and b is not None and len(a) == len(b) > 2 and a[1] == b[1] and isinstance(a[1], int)


def _in_plane(edit: Edit, node: NodeProto) -> bool:
    scales = edit.constant(node.input[2]) if len(node.input) == 3 else None
    return scales is not None and scales.size > 2 and bool((scales[:2] == 1).all()) and not node.input[1]
