"""A cost of Ops, lowered onto a space: archs -> sums over layers, millions a second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas.predict.count import cost
from hwnas.space.op import Op, Stabilizer
from hwnas.space.space import Archs, Space

Values = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 8192  # so that a block of archs and its sums stay in the cache


class LayerSum:
    """``fixed + Σ_layers per_choice[layer, choice]``: archs (N, L) -> float64 (N,).

    Args:
        space: whose archs.
        cost_of: cost of one Op; called once for each distinct Op.
        stabilizers: whether networks keep the stabilizers that can't be folded (those with inherited weights do).
            They depend on the neighbouring choices, so they are a term beside the sum.

    Attributes:
        fixed: cost of stem and head.
        per_choice: (L, C) cost of each choice; a skip costs nothing here, and NaN stands where no choice is.
        per_stabilizer: (L,) cost of a stabilizer that stays at a layer; 0 where none can.
    """

    def __init__(self, space: Space, cost_of: Callable[[Op], float], *, stabilizers: bool = False) -> None:
        self.space = space
        self.stabilizers = stabilizers
        needed = [op for op in space.distinct_ops if stabilizers or not isinstance(op, Stabilizer)]
        costs = {op: cost_of(op) for op in needed}
        self.fixed = float(costs[space.stem] + costs[space.head])
        self.per_choice = np.full((space.num_layers, int(space.num_choices.max())), np.nan)
        self.per_stabilizer = np.zeros(space.num_layers)
        for layer, choices in enumerate(space.layers):
            for index, op in enumerate(choices):
                is_skip = isinstance(op, Stabilizer)
                self.per_choice[layer, index] = 0.0 if is_skip else costs[op]
                if is_skip and stabilizers:
                    self.per_stabilizer[layer] = costs[op]

    def __call__(self, archs: npt.ArrayLike) -> Values:
        """Cost of each arch.

        Raises:
            ArchError: not archs of the space.
        """
        checked = self.space.check(archs)
        sums = np.empty(len(checked))
        for start in range(0, len(checked), _ROWS_AT_ONCE):
            rows = checked[start : start + _ROWS_AT_ONCE]
            sums[start : start + len(rows)] = self._sum(rows)
        return sums

    def _sum(self, archs: Archs) -> Values:
        total = np.full(len(archs), self.fixed)
        for costs, choices in zip(self.per_choice, archs.T, strict=True):
            total += costs.take(choices)
        if self.stabilizers:
            total += self.space.kept_stabilizers(archs) @ self.per_stabilizer
        return total


def madds(space: Space, *, stabilizers: bool = False) -> LayerSum:
    """Multiply-adds of archs at batch 1, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).madds, stabilizers=stabilizers)


def params(space: Space, *, stabilizers: bool = False) -> LayerSum:
    """Parameters of archs, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).params, stabilizers=stabilizers)
