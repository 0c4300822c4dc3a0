"""Operators that compute along axes: reductions, softmax, sums so far, the largest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hwnas.runtimes.torch_operators.node import Convert, Node, Value


def _reduction(function: Callable[[torch.Tensor, tuple[int, ...], bool], torch.Tensor]) -> Convert:
    def convert(node: Node) -> Value:
        axes, keep = node.given("axes", 1), bool(node.attribute("keepdims", 1))
        if node.attribute("noop_with_empty_axes", 0) and not axes:
            return node[0]
        return node.call(function, node[0], tuple(axes or range(node[0].ndim)), keep)

    return convert


def _sum(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return x.sum(axes, keep, dtype=x.dtype)  # PyTorch would make int64 of integers


def _product(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keep, dtype=x.dtype)
    return x


def _l1(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return _sum(x.abs(), axes, keep)


def _l2(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return _sum(x * x, axes, keep).sqrt()


def _sum_square(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return _sum(x * x, axes, keep)


def _log_sum(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return _sum(x, axes, keep).log()


def _argument(function: Callable[..., Any]) -> Convert:
    def convert(node: Node) -> Value:
        node.require("select_last_index", 0, 0)
        return node.call(function, node[0], node.attribute("axis", 0), bool(node.attribute("keepdims", 1)))

    return convert


def _softmax(function: Callable[..., torch.Tensor], flattened: Callable[..., torch.Tensor]) -> Convert:
    """Before opset 13 it goes over all axes from the one that is named."""

    def convert(node: Node) -> Value:
        newer = node.opset >= 13
        axis = node.attribute("axis", -1 if newer else 1)
        last = axis % node[0].ndim == node[0].ndim - 1
        return node.call(function if newer or last else flattened, node[0], axis)

    return convert


def _flat_softmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.flatten(axis).softmax(-1).reshape(x.shape)


def _flat_log_softmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.flatten(axis).log_softmax(-1).reshape(x.shape)


def _sums_so_far(node: Node) -> Value:
    node.require("exclusive", 0, 0)
    node.require("reverse", 0, 0)
    axis = node.numbers(1)
    return node.call(_summed_so_far, node[0], axis[0] if isinstance(axis, list) else axis)


def _summed_so_far(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.cumsum(axis, dtype=x.dtype)


def _largest(node: Node) -> tuple[Value, ...]:
    (count,), axis = node.numbers(1), node.attribute("axis", -1)
    largest, in_order = (bool(node.attribute(name, 1)) for name in ("largest", "sorted"))
    return node.call_for_several(_top, node[0], count, axis, largest, in_order)


def _top(x: torch.Tensor, count: int, axis: int, largest: bool, in_order: bool) -> tuple[torch.Tensor, torch.Tensor]:
    values, places = torch.topk(x, count, axis, largest, in_order)
    return values, places


OPERATORS: dict[str, Convert] = {
    "ArgMax": _argument(torch.argmax),
    "ArgMin": _argument(torch.argmin),
    "CumSum": _sums_so_far,
    "LogSoftmax": _softmax(torch.log_softmax, _flat_log_softmax),
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(_l2),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(_sum_square),
    "Softmax": _softmax(torch.softmax, _flat_softmax),
    "TopK": _largest,
}
