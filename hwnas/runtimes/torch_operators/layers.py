"""Operators with weights, pooling and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from hwnas.runtimes.torch_operators.node import Convert, Node, Value, known

_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)
_CONVOLVE_BACK = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
_MAX_POOL = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE_POOL = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


class _Window(NamedTuple):
    """How a kernel goes over an image of any number of axes; ``before`` and ``after`` are what is padded."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def around(self) -> list[int]:
        """As PyTorch's pad takes it, from the last axis on."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return [size for pair in pairs for size in pair]


def _window(node: Node, kernel: Sequence[int]) -> _Window:
    ones = (1,) * len(kernel)
    strides, dilations = (tuple(node.attribute(name, ones)) for name in ("strides", "dilations"))
    pads, auto = node.attribute("pads", (0,) * 2 * len(kernel)), node.attribute("auto_pad", "NOTSET")
    before, after = tuple(pads[: len(kernel)]), tuple(pads[len(kernel) :])
    if auto.startswith("SAME"):
        sizes = node.sizes(node[0])[2:]
        each = zip(sizes, kernel, strides, dilations, strict=True)
        total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in each]
        small, large = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    return _Window(tuple(kernel), strides, dilations, before, after)


def _of_axes(node: Node, functions: Sequence[Callable[..., Any]], axes: int) -> Callable[..., Any]:
    if not 1 <= axes <= len(functions):
        raise node.refuse(f"it goes over {axes} axes, PyTorch's over 1 to {len(functions)}")
    return functions[axes - 1]


def _convolution(node: Node) -> Value:
    node.attribute("kernel_shape", None)  # the weight has it
    x, window = node[0], _window(node, node[1].tensor.shape[2:])
    padding = window.before
    if window.before != window.after:
        x, padding = node.call(functional.pad, x, window.around), (0,) * len(window.kernel)
    return node.call(
        _of_axes(node, _CONVOLVE, len(window.kernel)), x, node[1], node.optional(2), stride=window.strides,
        padding=padding, dilation=window.dilations, groups=node.attribute("group", 1),
    )  # fmt: skip


def _transposed_convolution(node: Node) -> Value:
    node.attribute("kernel_shape", None)
    node.require("auto_pad", "NOTSET", "NOTSET")
    node.require("output_shape", None, None)
    window = _window(node, node[1].tensor.shape[2:])
    alike = window.before == window.after
    result = node.call(
        _of_axes(node, _CONVOLVE_BACK, len(window.kernel)), node[0], node[1], node.optional(2), stride=window.strides,
        padding=window.before if alike else 0, dilation=window.dilations, groups=node.attribute("group", 1),
        output_padding=tuple(node.attribute("output_padding", (0,) * len(window.kernel))),
    )  # fmt: skip
    return result if alike else node.call(functional.pad, result, [-size for size in window.around])


def _pooled_alike(node: Node, window: _Window, ceil: bool) -> bool:
    """Whether PyTorch's pools pad so: both sides alike, and at most half a kernel; else padding is a step before."""
    small = all(2 * size <= kernel for size, kernel in zip(window.before, window.kernel, strict=True))
    alike = small and window.before == window.after
    if ceil and not alike:
        raise node.refuse("it rounds its size up, and pads as PyTorch's pools don't")
    return alike


def _max_pool(node: Node) -> Value:
    node.attribute("storage_order", 0)  # is of its second output
    if node.outputs > 1:
        raise node.refuse("it gives places as well")
    x, window, ceil = node[0], _window(node, node.attribute("kernel_shape", ())), bool(node.attribute("ceil_mode", 0))
    padding = window.before
    if not _pooled_alike(node, window, ceil):
        x, padding = node.call(functional.pad, x, window.around, value=float("-inf")), (0,) * len(window.kernel)
    return node.call(
        _of_axes(node, _MAX_POOL, len(window.kernel)), x, window.kernel, window.strides, padding, window.dilations,
        ceil_mode=ceil,
    )  # fmt: skip


def _average_pool(node: Node) -> Value:
    x, window, ceil = node[0], _window(node, node.attribute("kernel_shape", ())), bool(node.attribute("ceil_mode", 0))
    counted = bool(node.attribute("count_include_pad", 0))
    if set(window.dilations) != {1}:
        raise node.refuse("it is dilated")
    pool, around = _of_axes(node, _AVERAGE_POOL, len(window.kernel)), window.around
    if _pooled_alike(node, window, ceil):
        return node.call(pool, x, window.kernel, window.strides, window.before, ceil, counted)
    result = node.call(pool, node.call(functional.pad, x, around), window.kernel, window.strides)
    if counted:
        return result
    ones = known(torch.ones((1, 1, *node.sizes(x)[2:])))
    share = node.call(pool, node.call(functional.pad, ones, around), window.kernel, window.strides)
    return node.call(torch.div, result, share)


def _global_pool(reduce: Callable[..., Any]) -> Convert:
    return lambda node: node.call(reduce, node[0], tuple(range(2, node[0].ndim)), True)


def _global_average(node: Node) -> Value:
    if node[0].ndim == 4:
        return node.call(functional.adaptive_avg_pool2d, node[0], 1)
    return node.call(torch.mean, node[0], tuple(range(2, node[0].ndim)), True)


def _gemm(node: Node) -> Value:
    a, b, c = node[0], node[1], node.optional(2)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if node.attribute("transA", 0):
        a = node.call(torch.t, a)
    if not node.attribute("transB", 0):
        b = node.call(_turned, b)
    if alpha == beta == 1 and (c is None or c.ndim == 1):
        return node.call(functional.linear, a, b, c)
    product = node.call(_scaled, node.call(functional.linear, a, b), alpha)
    return product if c is None else node.call(torch.add, product, node.call(_scaled, c, beta))


def _turned(x: torch.Tensor) -> torch.Tensor:
    return x.t().contiguous()


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1 else x * factor


def _batch_norm(node: Node) -> Value:
    node.attribute("momentum", 0.9)
    node.require("training_mode", 0, 0)
    x, scale, shift, mean, variance = node.inputs
    return node.call(
        functional.batch_norm, x, mean, variance, scale, shift, training=False, eps=node.attribute("epsilon", 1e-5)
    )


def _instance_norm(node: Node) -> Value:
    x, scale, shift = node.inputs
    return node.call(functional.instance_norm, x, weight=scale, bias=shift, eps=node.attribute("epsilon", 1e-5))


def _group_norm(node: Node) -> Value:
    node.attribute("stash_type", 1)
    x, scale, shift = node.inputs
    groups, channels = node.attribute("num_groups", 0), x.tensor.shape[1]
    if scale.tensor.shape[0] != channels:  # opset 18 has them by group
        scale, shift = (node.call(torch.repeat_interleave, each, channels // groups) for each in (scale, shift))
    return node.call(functional.group_norm, x, groups, scale, shift, node.attribute("epsilon", 1e-5))


def _layer_norm(node: Node) -> Value:
    node.attribute("stash_type", 1)
    if node.outputs > 1:
        raise node.refuse("it gives mean and deviation as well")
    axis = node.attribute("axis", -1) % node[0].ndim
    return node.call(_layer_normalised, node[0], node[1], node.optional(2), axis, node.attribute("epsilon", 1e-5))


def _layer_normalised(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor | None, axis: int, epsilon: float
) -> torch.Tensor:
    shape = x.shape[axis:]
    if scale.shape == shape and (shift is None or shift.shape == shape):
        return functional.layer_norm(x, shape, scale, shift, epsilon)
    result = functional.layer_norm(x, shape, eps=epsilon) * scale
    return result if shift is None else result + shift


OPERATORS: dict[str, Convert] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Einsum": lambda node: node.call(torch.einsum, node.attribute("equation", ""), *node.inputs),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_pool(torch.amax),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": lambda node: node.call(torch.matmul, *node.inputs),
    "MaxPool": _max_pool,
}
