"""Grouped convolutions with fewer, wider groups, the new ones filled with zeros between the old ones.

A runtime's blocked layout has kernels for groups of whole blocks only, and computes narrower ones one by one. Groups of
16 where there were groups of 8 do twice the work, half of it with zeros, and may well be faster.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

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
