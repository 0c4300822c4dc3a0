"""A gate per channel, as of squeeze-and-excitation, spread over the pixels before it is multiplied.

ONNX Runtime's blocked layout has a product of two equal shapes and none that broadcasts: at (N, C, H, W) · (N, C, 1, 1)
it leaves the layout and comes back behind. A nearest Resize of the gate to H × W is a kernel that it has.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hwnas.onnx.optimize.edit import Edit, Rewritten, attribute, of_kind

_RESIZE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
_FIRST_RESIZE = 11


def spread_gates(model: ModelProto) -> Rewritten | None:
    """x · gate, (N, C, H, W) · (N, C, 1, 1) -> x · Resize(gate)."""
    edit = Edit(model)
    if edit.opset < _FIRST_RESIZE:
        return None
    for node in of_kind(edit, "Mul"):
        for x, gate in (tuple(node.input), tuple(node.input)[::-1]):
            shape, small = edit.shape(x), edit.shape(gate)
            if shape is None or small is None or len(shape) != 4 or edit.constant(gate) is not None:
                continue
            channels, height, width = shape[1:]
            fixed = all(isinstance(size, int) for size in (channels, height, width))
            if not fixed or small[1:] != (channels, 1, 1) or small[0] != shape[0] or (height, width) == (1, 1):
                continue
            scales = edit.add_constant(np.array([1, 1, height, width], np.float32), f"{gate}.scales")
            spread = edit.add("Resize", [gate, "", scales], at=node, like="spread", **_RESIZE)
            edit.declare(spread, like=x)
            edit.replace(node, "Mul", [x, spread])
            break
    return edit.done()


def gather_gates(model: ModelProto) -> Rewritten | None:
    """What :func:`spread_gates` did, undone: each Resize of one pixel that a product alone reads is passed by."""
    edit = Edit(model)
    for node in of_kind(edit, "Resize"):
        shape, readers = edit.shape(node.input[0]), edit.readers(node.output[0])
        pixel = shape is not None and shape[2:] == (1, 1) and not node.input[1]
        as_spread = {name: attribute(node, name, b"").decode() for name in _RESIZE} == _RESIZE
        if (
            pixel
            and as_spread
            and len(node.attribute) == len(_RESIZE)
            and [reader.op_type for reader in readers] == ["Mul"]
        ):
            edit.drop(node, node.input[0])
    return edit.done()
