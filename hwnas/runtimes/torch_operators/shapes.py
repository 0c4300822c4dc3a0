"""Operators that move numbers, and those that compute shapes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from onnx import numpy_helper
from torch.nn import functional

from hwnas.runtimes.torch_operators.node import Convert, Node, Value, known

_PAD_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_Slices = tuple[tuple[int, int, int, int], ...]


def _concat(node: Node) -> Value:
    return node.call(torch.cat, node.inputs, node.attribute("axis", 0))


def _split(node: Node) -> tuple[Value, ...]:
    sizes, axis = node.given("split", 1), node.attribute("axis", 0)
    node.attribute("num_outputs", 0)  # as many as are given
    if sizes is None:
        return node.call_for_several(_parted, node[0], node.outputs, axis)
    return node.call_for_several(torch.split, node[0], sizes, axis)


def _parted(x: torch.Tensor, parts: int, axis: int) -> tuple[torch.Tensor, ...]:
    return torch.split(x, -(-x.shape[axis] // parts), axis)


def _slice(node: Node) -> Value:
    starts, ends = node.given("starts", 1), node.given("ends", 2)
    axes, steps = node.given("axes", 3), node.given("steps", 4) or [1] * len(starts)
    each = zip(range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True)
    return node.call(_sliced, node[0], tuple(each))


def _sliced(x: torch.Tensor, slices: _Slices) -> torch.Tensor:
    for axis, start, end, step in slices:
        if step < 0 and start < 0:  # before the first it counts as the first, unlike in Python
            start = max(start + x.shape[axis], 0)
        taken = range(*slice(start, end, step).indices(x.shape[axis]))
        if step > 0:
            before = (slice(None),) * (axis % x.ndim)
            x = x[(*before, slice(taken.start, max(taken.start, taken.stop), step))]
        else:
            x = x.index_select(axis, torch.tensor(list(taken), dtype=torch.int64, device=x.device))
    return x


def _gather(node: Node) -> Value:
    axis = node.attribute("axis", 0)
    if node[1].node is None and node[1].ndim == 0:
        return node.call(torch.select, node[0], axis, node.numbers(1))
    return node.call(_gathered, node[0], node[1], axis % node[0].ndim)


def _gathered(x: torch.Tensor, index: torch.Tensor, axis: int) -> torch.Tensor:
    places = torch.remainder(index, x.shape[axis]).flatten()  # they may count from the end
    return x.index_select(axis, places).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _gather_elements(node: Node) -> Value:
    return node.call(_gathered_one_by_one, *node.inputs, node.attribute("axis", 0))


def _gathered_one_by_one(x: torch.Tensor, index: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.gather(x, axis, torch.remainder(index, x.shape[axis]).long())


def _reshape(node: Node) -> Value:
    return node.call(_reshaped, node[0], tuple(node.numbers(1)), bool(node.attribute("allowzero", 0)))


def _reshaped(x: torch.Tensor, shape: tuple[int, ...], zeros: bool) -> torch.Tensor:
    return x.reshape([size if size or zeros else x.shape[axis] for axis, size in enumerate(shape)])


def _flatten(node: Node) -> Value:
    axis = node.attribute("axis", 1)
    return node.call(_flattened, node[0], axis if axis >= 0 else axis + node[0].ndim)


def _flattened(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.flatten(1) if axis == 1 and x.ndim > 1 else x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))


def _transpose(node: Node) -> Value:
    return node.call(torch.permute, node[0], tuple(node.attribute("perm", range(node[0].ndim)[::-1])))


def _squeeze(node: Node) -> Value:
    axes = node.given("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(node.sizes(node[0])) if size == 1]
    return node.call(torch.squeeze, node[0], tuple(axes))


def _unsqueeze(node: Node) -> Value:
    axes = node.given("axes", 1)
    return node.call(_unsqueezed, node[0], tuple(sorted(axis % (node[0].ndim + len(axes)) for axis in axes)))


def _unsqueezed(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def _expand(node: Node) -> Value:
    return node.call(_expanded, node[0], tuple(node.numbers(1)))


def _expanded(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    own = (1,) * (len(shape) - x.ndim) + tuple(x.shape)
    asked = (1,) * (x.ndim - len(shape)) + shape
    return x.expand([mine if size == 1 else size for mine, size in zip(own, asked, strict=True)])


def _tile(node: Node) -> Value:
    return node.call(_tiled, node[0], tuple(node.numbers(1)))


def _tiled(x: torch.Tensor, times: tuple[int, ...]) -> torch.Tensor:
    return x.repeat(times)


def _pad(node: Node) -> Value:
    mode, pads = node.attribute("mode", "constant"), node.given("pads", 1)
    value = node.given("value", 2)
    axes = range(node[0].ndim) if node.optional(3) is None else [axis % node[0].ndim for axis in node.numbers(3)]
    around = {axis: (pads[place], pads[place + len(axes)]) for place, axis in enumerate(axes)}
    first = min((axis for axis, pair in around.items() if any(pair)), default=node[0].ndim - 1)
    flat = [size for axis in reversed(range(first, node[0].ndim)) for size in around.get(axis, (0, 0))]
    if mode == "constant":
        return node.call(functional.pad, node[0], flat, value=_one(value) or 0)
    if node[0].ndim in (3, 4, 5) and first >= 2 and min(flat) >= 0:
        return node.call(
            functional.pad, node[0], flat + [0] * (2 * (node[0].ndim - 2) - len(flat)), mode=_PAD_MODES[mode]
        )
    return node.call(_padded, node[0], tuple((axis, *pair) for axis, pair in around.items() if any(pair)), mode)


def _one(number: object) -> object:
    return number[0] if isinstance(number, list) else number


def _padded(x: torch.Tensor, around: Sequence[tuple[int, int, int]], mode: str) -> torch.Tensor:
    """On any axes, which PyTorch's own only does with constants."""
    for axis, before, after in around:
        places = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-after, 0)]
        places = np.pad(places, (max(before, 0), max(after, 0)), mode=mode)  # type: ignore[call-overload]
        x = x.index_select(axis, torch.from_numpy(places).to(x.device))
    return x


def _depth_to_space(node: Node) -> Value:
    size = node.attribute("blocksize", 1)
    if node.attribute("mode", "DCR") == "CRD":
        return node.call(functional.pixel_shuffle, node[0], size)
    return node.call(_spread, node[0], size)


def _spread(x: torch.Tensor, size: int) -> torch.Tensor:
    n, c, h, w = x.shape
    blocks = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // size**2, h * size, w * size)


def _space_to_depth(node: Node) -> Value:
    return node.call(_collected, node[0], node.attribute("blocksize", 1))


def _collected(x: torch.Tensor, size: int) -> torch.Tensor:
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * size**2, h // size, w // size)


def _triangle(node: Node) -> Value:
    diagonal = 0 if node.optional(1) is None else node.numbers(1)
    return node.call(torch.triu if node.attribute("upper", 1) else torch.tril, node[0], _one(diagonal))


def _shape(node: Node) -> Value:
    part = slice(node.attribute("start", 0), node.attribute("end", None))
    return known(torch.tensor(node.sizes(node[0])[part], dtype=torch.int64))


def _size(node: Node) -> Value:
    return known(torch.tensor(prod(node.sizes(node[0])), dtype=torch.int64))


def _constant(node: Node) -> Value:
    for name, dtype in (("float", torch.float32), ("int", torch.int64)):
        for each in (f"value_{name}", f"value_{name}s"):
            if (numbers := node.attribute(each, None)) is not None:
                return known(torch.tensor(numbers, dtype=dtype))
    if (value := node.attribute("value", None)) is None:
        raise node.refuse("it holds no numbers")
    return known(torch.from_numpy(numpy_helper.to_array(value).copy()))


def _constant_of_shape(node: Node) -> Value:
    value = node.attribute("value", None)
    filled = torch.zeros(1) if value is None else torch.from_numpy(numpy_helper.to_array(value).copy())
    return known(filled.reshape(()).repeat(tuple(node.numbers(0))) if node.numbers(0) else filled.reshape(()))


def _range(node: Node) -> Value:
    start, end, step = (node.numbers(index) for index in range(3))
    return known(torch.arange(start, end, step, dtype=node[0].tensor.dtype))


OPERATORS: dict[str, Convert] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
