"""ONNX's Resize: its rules of places, by PyTorch's own interpolation where that has the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hwnas.arrays import Indices, Values
from hwnas.runtimes.torch_operators.node import Convert, Node, Value

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
_ROUND: dict[str, Callable[[Values], Values]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}


def _resize(node: Node) -> Value:
    mode, rule = node.attribute("mode", "nearest"), node.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = node.attribute("nearest_mode", "round_prefer_floor")
    for name, default in (("antialias", 0), ("exclude_outside", 0), ("keep_aspect_ratio_policy", "stretch")):
        node.require(name, default, default)
    for unused in ("cubic_coeff_a", "extrapolation_value"):
        node.attribute(unused, 0.0)
    if node.opset < 11 or mode not in ("nearest", "linear"):
        raise node.refuse(f"it is {mode} of opset {node.opset}; nearest and linear of opset 11 and later are known")
    axes = _axes(node)
    places = {axis: _places(node, rule, *each) for axis, each in axes.items()}
    ndim, inner = node[0].ndim, all(axis >= 2 for axis in axes)
    sizes = tuple(axes[axis].target if axis in axes else size for axis, size in enumerate(node.sizes(node[0])))[2:]
    if mode == "nearest":
        taken = {axis: _nearest(found, rounding, axes[axis].size) for axis, found in places.items()}
        own = all(np.array_equal(found, np.arange(n.target) * n.size // n.target) for n, found in _of(axes, taken))
        if inner and ndim in _LINEAR and own:
            return node.call(functional.interpolate, node[0], sizes, mode="nearest")
        return node.call(_picked, node[0], tuple((axis, tuple(found.tolist())) for axis, found in taken.items()))
    for corners, same_rule in ((False, "half_pixel"), (True, "align_corners")):
        own = all(np.allclose(found, _places(node, same_rule, n.size, n.target)) for n, found in _of(axes, places))
        if inner and ndim in _LINEAR and own:
            return node.call(functional.interpolate, node[0], sizes, mode=_LINEAR[ndim], align_corners=corners)
    return node.call(
        _mixed, node[0], tuple((axis, *_neighbours(found, axes[axis].size)) for axis, found in places.items())
    )


class _Axis(NamedTuple):
    size: int
    target: int
    scale: float


def _axes(node: Node) -> dict[int, _Axis]:
    """What is asked of each axis that changes."""
    sizes = node.sizes(node[0])
    axes = [axis % len(sizes) for axis in node.attribute("axes", range(len(sizes)))]
    scales = node.numbers(2) if node.optional(2) is not None else []
    if scales:
        found = {a: _Axis(sizes[a], int(np.floor(sizes[a] * s)), s) for a, s in zip(axes, scales, strict=True)}
    else:
        found = {a: _Axis(sizes[a], n, n / sizes[a]) for a, n in zip(axes, node.numbers(3), strict=True)}
    return {axis: each for axis, each in found.items() if each.target != each.size or each.scale != 1}


def _of(axes: dict[int, _Axis], found: dict[int, Any]) -> Iterator[tuple[_Axis, Any]]:
    return ((axes[axis], each) for axis, each in found.items())


def _places(node: Node, rule: str, size: int, target: int, scale: float | None = None) -> Values:
    """Where, in what is resized, each number of the result is taken from: (target,)."""
    scale = scale or target / size
    x = np.arange(target, dtype=np.float64)
    if rule == "asymmetric":
        return x / scale
    if rule == "align_corners":
        return x * (size - 1) / (target - 1) if target > 1 else x
    if rule == "half_pixel" or (rule == "pytorch_half_pixel" and target > 1):
        return (x + 0.5) / scale - 0.5
    if rule == "pytorch_half_pixel":
        return x
    raise node.refuse(f"coordinate_transformation_mode is {rule}")


def _nearest(places: Values, rounding: str, size: int) -> Indices:
    found: Indices = np.clip(_ROUND[rounding](places), 0, size - 1).astype(np.int64)
    return found


def _picked(x: torch.Tensor, places: tuple[tuple[int, tuple[int, ...]], ...]) -> torch.Tensor:
    for axis, each in places:
        x = x.index_select(axis, torch.tensor(each, device=x.device))
    return x


_Neighbours = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]


def _neighbours(places: npt.NDArray[np.float64], size: int) -> _Neighbours:
    """The two on both sides of each place, and how much the second counts."""
    within = np.clip(places, 0, size - 1)
    low = np.floor(within).astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    return tuple(low.tolist()), tuple(high.tolist()), tuple((within - low).tolist())


def _mixed(
    x: torch.Tensor, each: tuple[tuple[int, tuple[int, ...], tuple[int, ...], tuple[float, ...]], ...]
) -> torch.Tensor:
    for axis, low, high, share in each:
        before, after = (x.index_select(axis, torch.tensor(places, device=x.device)) for places in (low, high))
        weight = torch.tensor(share, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - axis - 1))
        x = before + weight * (after - before)
    return x


OPERATORS: dict[str, Convert] = {"Resize": _resize}
