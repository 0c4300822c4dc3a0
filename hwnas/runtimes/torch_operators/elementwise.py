"""Operators that compute each number from those at the same place."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from onnx import helper
from torch.nn import functional

from hwnas.runtimes.torch_operators.node import Convert, Node, Value


def _simple(function: Callable[..., Any]) -> Convert:
    return lambda node: node.call(function, *node.inputs)


def _folded(function: Callable[..., Any]) -> Convert:
    """Of any number of inputs, two by two."""
    return lambda node: reduce(lambda a, b: node.call(function, a, b), node.inputs)


def _mean(node: Node) -> Value:
    return node.call(
        operator.truediv, reduce(lambda a, b: node.call(operator.add, a, b), node.inputs), len(node.inputs)
    )


def _with(function: Callable[..., Any], **defaults: Any) -> Convert:
    """With ONNX's attributes as PyTorch's arguments, which have the same names."""
    return lambda node: node.call(function, node[0], **{n: node.attribute(n, d) for n, d in defaults.items()})


def _hard_sigmoid(node: Node) -> Value:
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return node.call(functional.hardsigmoid, node[0])
    return node.call(_line_clipped, node[0], alpha, beta)


def _line_clipped(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def _selu(node: Node) -> Value:
    alpha, gamma = (
        node.attribute("alpha", 1.67326319217681884765625),
        node.attribute("gamma", 1.05070102214813232421875),
    )
    return node.call(operator.mul, node.call(functional.elu, node[0], alpha), gamma)


def _leaky_relu(node: Node) -> Value:
    return node.call(functional.leaky_relu, node[0], node.attribute("alpha", 0.01))


def _prelu(node: Node) -> Value:
    return node.call(_sloped, *node.inputs)


def _sloped(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return torch.where(x < 0, slope * x, x)


def _thresholded_relu(node: Node) -> Value:
    return node.call(functional.threshold, node[0], node.attribute("alpha", 1.0), 0.0)


def _clip(node: Node) -> Value:
    least, most = node.given("min", 1), node.given("max", 2)
    return node[0] if least is None and most is None else node.call(torch.clamp, node[0], least, most)


def _divided(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")


def _power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.pow(a, b).to(a.dtype)


def _modulo(node: Node) -> Value:
    return node.call(torch.fmod if node.attribute("fmod", 0) else torch.remainder, *node.inputs)


def _cast(node: Node) -> Value:
    node.attribute("saturate", 1)  # is of float8, which NumPy lacks, and so hwnas
    dtype = torch_dtype(node.attribute("to", 0))
    return node.call(cast, node[0], node.computed(dtype, node[0]))


def cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x.to(dtype)


def torch_dtype(kind: int) -> torch.dtype:
    """Of a dtype as ONNX numbers it.

    Raises:
        TypeError, KeyError: PyTorch has none.
    """
    name = helper.tensor_dtype_to_np_dtype(kind).name
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def _identity(node: Node) -> Value:
    for unused in ("ratio", "seed", "training_mode"):
        node.attribute(unused, 0)
    return node[0]


OPERATORS: dict[str, Convert] = {
    "Abs": _simple(torch.abs),
    "Add": _simple(operator.add),
    "And": _simple(torch.logical_and),
    "Cast": _cast,
    "Ceil": _simple(torch.ceil),
    "Celu": _with(functional.celu, alpha=1.0),
    "Clip": _clip,
    "Cos": _simple(torch.cos),
    "Div": _simple(_divided),
    "Dropout": _identity,
    "Elu": _with(functional.elu, alpha=1.0),
    "Equal": _simple(torch.eq),
    "Erf": _simple(torch.erf),
    "Exp": _simple(torch.exp),
    "Floor": _simple(torch.floor),
    "Gelu": _with(functional.gelu, approximate="none"),
    "Greater": _simple(torch.gt),
    "GreaterOrEqual": _simple(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _simple(functional.hardswish),
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "Less": _simple(torch.lt),
    "LessOrEqual": _simple(torch.le),
    "Log": _simple(torch.log),
    "Max": _folded(torch.maximum),
    "Mean": _mean,
    "Min": _folded(torch.minimum),
    "Mish": _simple(functional.mish),
    "Mod": _modulo,
    "Mul": _simple(operator.mul),
    "Neg": _simple(torch.neg),
    "Not": _simple(torch.logical_not),
    "Or": _simple(torch.logical_or),
    "PRelu": _prelu,
    "Pow": _simple(_power),
    "Reciprocal": _simple(torch.reciprocal),
    "Relu": _simple(functional.relu),
    "Round": _simple(torch.round),
    "Selu": _selu,
    "Sigmoid": _simple(torch.sigmoid),
    "Sign": _simple(torch.sign),
    "Sin": _simple(torch.sin),
    "Softplus": _simple(functional.softplus),
    "Softsign": _simple(functional.softsign),
    "Sqrt": _simple(torch.sqrt),
    "Sub": _simple(operator.sub),
    "Sum": _folded(operator.add),
    "Tanh": _simple(torch.tanh),
    "ThresholdedRelu": _thresholded_relu,
    "Where": _simple(torch.where),
    "Xor": _simple(torch.logical_xor),
}
