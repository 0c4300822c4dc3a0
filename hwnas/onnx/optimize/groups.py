"""Grouped convolutions with fewer, wider groups, the new ones filled with zeros between the old ones.

A runtime's blocked layout has kernels for groups of whole blocks only, and computes narrower ones one by one. Groups of
16 where there were groups of 8 do twice the work, half of it with zeros, and may well be faster.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, numpy_helper

from hwnas.errors import CountError
from hwnas.onnx.optimize.edit import Array, Edit, Rewritten, attribute, of_kind


def merge_groups(model: ModelProto, block: int) -> Rewritten | None:
    """As many groups together as give inputs and outputs of whole blocks, where their number can be divided so."""
    edit = Edit(model)
    for node in of_kind(edit, "Conv"):
        weight, groups = edit.constant(node.input[1]), attribute(node, "group", 1)
        if weight is None or groups == 1 or weight.shape[:2] == (groups, 1):  # depthwise kernels are of their own
            continue
        wide = (weight.shape[1], weight.shape[0] // groups)
        together = [n for n in range(1, groups + 1) if groups % n == 0 and all(n * c % block == 0 for c in wide)]
        if together and together[0] > 1:
            edit.set_constant(node, 1, _merged(weight, groups, together[0]))
            edit.set_attribute(node, "group", groups // together[0])
    return edit.done()


def _merged(weight: Array, groups: int, together: int) -> Array:
    """Weights (outputs, inputs of a group, ...) of ``groups`` -> those of a ``together``-th of them."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    merged = np.zeros((weight.shape[0], inputs * together, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows, first = slice(group * outputs, (group + 1) * outputs), group % together * inputs
        merged[rows, first : first + inputs] = weight[rows]
    return merged


def groups_before(model: ModelProto, merged: ModelProto) -> dict[str, int]:
    """{weight of a convolution whose groups :func:`merge_groups` merged: how many it had}.

    Convolutions are the same where they give a value of the same name.
    """
    widths = [{weight.name: tuple(weight.dims[:2]) for weight in each.graph.initializer} for each in (model, merged)]
    given = {node.output[0]: node for node in model.graph.node if node.op_type == "Conv"}
    found = {}
    for node in merged.graph.node:
        old = given.get(node.output[0]) if node.op_type == "Conv" else None
        if old is not None and (groups := attribute(old, "group", 1)) > 1:
            (outputs, inputs), (now, wide) = widths[0][old.input[1]], widths[1][node.input[1]]
            if wide != inputs:
                found[node.input[1]] = now * groups // outputs  # padding adds whole groups
    return found


def without_merging(model: ModelProto, groups: Mapping[str, int]) -> ModelProto:
    """What :func:`merge_groups` did, undone: so many groups again, by the names of the weights.

    Raises:
        CountError: a weight isn't there or wasn't made of so many groups, or isn't zero between them.
    """
    plain = ModelProto()
    plain.CopyFrom(model)
    weights = {weight.name: weight for weight in plain.graph.initializer}
    for node in plain.graph.node:
        if node.op_type != "Conv" or node.input[1] not in groups:
            continue
        name, before, now = node.input[1], groups[node.input[1]], attribute(node, "group", 1)
        array = numpy_helper.to_array(weights[name]) if name in weights else np.empty((0, 0), np.float32)
        if not array.size or before % now or array.shape[0] % before or array.shape[1] % (before // now):
            raise CountError(f"{name} of the exported graph can't have been made of {before} groups")
        outputs, inputs = array.shape[0] // before, array.shape[1] // (before // now)
        split = np.concatenate(
            [
                array[group * outputs : (group + 1) * outputs, first : first + inputs]
                for group in range(before)
                for first in [group % (before // now) * inputs]
            ]
        )
        if not np.isfinite(array).all() or np.count_nonzero(split) != np.count_nonzero(array):
            raise CountError(f"{name} of the exported graph isn't zero between its {before} groups")
        weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(split), name))
        next(each for each in node.attribute if each.name == "group").i = before
    return plain
