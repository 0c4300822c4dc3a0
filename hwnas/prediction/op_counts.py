"""How many ops of each class a network has: the terms of a calibration beside the sum of latencies.

A class is a kind of Op with those of its yes-or-no fields that are yes, as ``mbconv se``. What an op costs in a network
more, or less, than alone differs by class: with SE, for one, a runtime may have to change layouts inside the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields

import numpy.typing as npt

from hwnas.arrays import Values
from hwnas.graph.graph import Op
from hwnas.prediction.lowered import LayerSum
from hwnas.space.space import Space

ANY = "op"
"""The class of all ops."""


def op_class(op: Op) -> str:
    """As ``mbconv`` or ``mbconv se``."""
    return " ".join([op.kind, *(f.name for f in fields(op) if getattr(op, f.name) is True)])


def class_members(space: Space) -> Mapping[str, Callable[[Op], float]]:
    """For each class, 1 for the ops that are of it and 0 for others: for all ops, and for what layers choose among."""
    members: dict[str, Callable[[Op], float]] = {ANY: lambda op: 1.0}
    transitions = space.plain().transitions()
    chosen = {op_class(op) for op in transitions.chosen} if transitions else set()
    for name in sorted(chosen) if len(chosen) > 1 else ():
        members[name] = lambda op, name=name: float(op_class(op) == name)  # type: ignore[misc]
    return members


def count_classes(space: Space, archs: npt.ArrayLike) -> Mapping[str, Values]:
    """Archs (N, L) -> numbers of ops (N,): of all, stem and head too, and of each class that layers choose among."""
    return {name: LayerSum(space, member)(archs) for name, member in class_members(space).items()}
