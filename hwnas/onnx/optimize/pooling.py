"""A mean over all pixels is GlobalAveragePool: the node that runtimes have a kernel in their own layout for."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, NodeProto

from hwnas.onnx.optimize.edit import Edit, Rewritten, attribute, of_kind

_AXES_ARE_INPUT = 18


def global_average_pool(model: ModelProto) -> Rewritten | None:
    """ReduceMean over all axes behind the channels, and AveragePool of the whole plane -> GlobalAveragePool."""
    edit = Edit(model)
    for node in of_kind(edit, "ReduceMean"):
        shape = edit.shape(node.input[0])
        if (
            shape is None
            or not edit.is_float(node.input[0])
            or _axes(edit, node, len(shape)) != [*range(2, len(shape))]
        ):
            continue
        if len(shape) < 3:
            continue
        if attribute(node, "keepdims", 1):
            edit.replace(node, "GlobalAveragePool", [node.input[0]])
        else:
            pooled = edit.add("GlobalAveragePool", [node.input[0]], at=node)
            edit.replace(node, "Flatten", [pooled], axis=1)
    for node in of_kind(edit, "AveragePool"):
        shape = edit.shape(node.input[0])
        if shape is None or not edit.is_float(node.input[0]) or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            continue
        if list(shape[2:]) == list(attribute(node, "kernel_shape", [])) and not any(attribute(node, "pads", [])):
            edit.replace(node, "GlobalAveragePool", [node.input[0]])
    return edit.done()


def _axes(edit: Edit, node: NodeProto, rank: int) -> Sequence[int] | None:
    """The axes that a node reduces, None where it takes all of them or where they aren't known."""
    if edit.opset < _AXES_ARE_INPUT:
        axes = attribute(node, "axes", None)
    else:
        array = edit.constant(node.input[1]) if len(node.input) > 1 else None
        axes = None if array is None else array.tolist()
    return None if axes is None else sorted(axis % rank for axis in axes)
