"""Hard activations as nodes of their own: x·relu6(x+3)/6 in any spelling is HardSwish, relu6(x+3)/6 HardSigmoid.

A chain of scalar sums, products and clamps is clip(slope · x + offset, low, high), whatever its order: chains compose,
and two of them are the same function where their four numbers are. So no spelling has to be listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isclose
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto

from hwnas.onnx.optimize.edit import Edit, Rewritten, attribute, of_kind

_AFFINE = ("Add", "Sub", "Mul", "Div")
_CLAMPS = ("Clip", "Relu", "Min", "Max", "HardSigmoid")
_MOST_STEPS = 8
_FIRST_HARD_SWISH = 14
_ENDS_ARE_INPUTS = 11


class Clamped(NamedTuple):
    """clip(slope · source + offset, low, high), slope > 0."""

    source: str
    slope: float = 1.0
    offset: float = 0.0
    low: float = -inf
    high: float = inf

    def of(self, inner: Clamped) -> Clamped:
        """The same of another one: a clamp of a clamp is a clamp."""
        low, high = (min(max(self.slope * end + self.offset, self.low), self.high) for end in (inner.low, inner.high))
        return Clamped(inner.source, self.slope * inner.slope, self.slope * inner.offset + self.offset, low, high)

    @property
    def is_gate(self) -> bool:
        """Whether it goes from 0 to 1."""
        return isclose(self.low, 0.0, abs_tol=1e-7) and isclose(self.high, 1.0, rel_tol=1e-6)


def hard_swish(model: ModelProto) -> Rewritten | None:
    """x · clip(x/6 + 1/2, 0, 1) -> HardSwish(x), where the opset has it."""
    edit = Edit(model)
    if edit.opset < _FIRST_HARD_SWISH:
        return None
    for node in of_kind(edit, "Mul", "Div"):
        for found in _products(edit, node.output[0]):
            sloped = isclose(found.slope, 1 / 6, rel_tol=1e-6) and isclose(found.offset, 1 / 2, rel_tol=1e-6)
            if found.is_gate and sloped and edit.is_float(found.source):
                edit.replace(node, "HardSwish", [found.source])
                break
    return edit.done()


def hard_sigmoid(model: ModelProto) -> Rewritten | None:
    """clip(slope · x + offset, 0, 1), computed by several nodes -> HardSigmoid(x)."""
    edit = Edit(model)
    for node in of_kind(edit, *_AFFINE, *_CLAMPS):
        several = list(_chain(edit, node.output[0]))[2:]
        if gates := [each for each in several if each.is_gate and edit.is_float(each.source)]:
            deepest = gates[-1]
            edit.replace(node, "HardSigmoid", [deepest.source], alpha=deepest.slope, beta=deepest.offset)
    return edit.done()


def one_clamp(model: ModelProto) -> Rewritten | None:
    """A clamp of a clamp -> one Clip, as of Relu and then Clip(0, 6), which torch's exporter writes for ReLU6."""
    edit = Edit(model)
    if edit.opset < _ENDS_ARE_INPUTS:
        return None
    for node in of_kind(edit, "Clip", "Relu"):
        inner = edit.giver(node.input[0])
        if inner is None or {node.op_type, inner.op_type} not in ({"Clip"}, {"Clip", "Relu"}):
            continue
        outer, before = _step(edit, node), _step(edit, inner)
        if outer is None or before is None or not edit.is_float(before.source) or outer.low > outer.high:
            continue
        found = outer.of(before)
        ends = [
            edit.add_constant(np.array(end, np.float32), f"{node.output[0]}.{name}") if abs(end) < inf else ""
            for name, end in (("min", found.low), ("max", found.high))
        ]
        edit.replace(node, "Clip", [found.source, *ends])
    return edit.done()


def _products(edit: Edit, name: str) -> Iterator[Clamped]:
    """All that is known of a value as x · clamped(x): the second factor."""
    node = edit.giver(name)
    if node is None or node.op_type not in ("Mul", "Div"):
        return
    scaled = _step(edit, node)
    if scaled is not None:
        yield from (scaled.of(found) for found in _products(edit, scaled.source))
    elif node.op_type == "Mul":
        for one, other in (node.input, reversed(node.input)):
            for x in _chain(edit, one):
                for gate in _chain(edit, other):
                    if x.source == gate.source and x[2:] == (0.0, -inf, inf) and gate.low == 0:
                        yield Clamped("", x.slope).of(gate)


def _chain(edit: Edit, name: str) -> Iterator[Clamped]:
    """A value as a function of itself, of what it is computed from, and so on upwards."""
    found = Clamped(name)
    yield found
    for _ in range(_MOST_STEPS):
        node = edit.giver(found.source)
        step = _step(edit, node) if node is not None else None
        if step is None:
            return
        found = found.of(step)
        yield found


def _step(edit: Edit, node: NodeProto) -> Clamped | None:
    """What a node computes of its one input that isn't constant."""
    if node.domain not in ("", "ai.onnx"):
        return None
    kind, (first, *others) = node.op_type, node.input
    if kind == "Relu":
        return Clamped(first, low=0.0)
    if kind == "HardSigmoid":
        slope, offset = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
        return Clamped(first, slope, offset, 0.0, 1.0) if slope > 0 else None
    if kind == "Clip":
        return _clip(edit, node)
    if kind not in (*_AFFINE, "Min", "Max") or len(others) != 1:
        return None
    value, source = edit.scalar(others[0], beside=first), first
    if value is None and kind not in ("Sub", "Div"):
        value, source = edit.scalar(first, beside=others[0]), others[0]
    if value is None or not edit.is_float(source):
        return None
    match kind:
        case "Add" | "Sub":
            return Clamped(source, offset=value if kind == "Add" else -value)
        case "Mul" | "Div":
            return Clamped(source, slope=value if kind == "Mul" else 1 / value) if value > 0 else None
    return Clamped(source, low=value) if kind == "Max" else Clamped(source, high=value)


def _clip(edit: Edit, node: NodeProto) -> Clamped | None:
    ends = [attribute(node, "min", -inf), attribute(node, "max", inf)]
    for index, name in enumerate(node.input[1:]):
        if name:
            end = edit.scalar(name, beside=node.input[0])
            if end is None:
                return None
            ends[index] = end
    return Clamped(node.input[0], low=ends[0], high=ends[1])
