"""A cost of Ops, lowered onto a space: archs -> sums over layers, tens of millions a second.

A look-up per layer spends its time on moving choices about, so neighbouring layers share one: their choices are the
digits of one number, the index of a table that holds the group's whole cost. One matrix product turns a block of archs
into these numbers. Stabilizers that stay depend on what is behind them; the walk goes from the head to the stem and
carries that as a state of three values from group to group, the last digit of the next group's index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Values
from hwnas.prediction.count import cost
from hwnas.space.op import Op, Stabilizer
from hwnas.space.space import Space

_Indices = npt.NDArray[np.intp]

_ROWS_AT_ONCE = 8192  # so that a block of archs and its sums stay in the cache
_MADDS_AT_ONCE = 2**17  # below OpenBLAS's 2**18, from where it shares a product among threads: waiting for them is slow
_TABLE_ENTRIES = 2**15  # of a group at most, 256 KiB: one at a time, tables stay in a core's own caches

# What lies behind a layer, as far as a stabilizer in front of it is concerned:
_FOLDS = 0  # a 1×1 convolution in front of it folds into it: the head, a block without residual, skips before these
_BLOCK = 1  # a block that it doesn't fold into
_RUN = 2  # a skip, the first of a run in front of such a block


@dataclass(frozen=True, eq=False)
class LayerSteps:
    """A cost as the walk from the head to the stem joins it (adds it up, mostly): what a dynamic program needs.

    A walk begins behind the last layer in state 0. In front of layer l, with choice c, what was in state s costs
    ``costs[l, c, s]`` more and is in state ``states[l, c, s]``.

    Attributes:
        costs: (L, C, S); not finite where the layer has no such choice, or the choice no cost.
        states: (L, C, S).
        end: (S,) what joins it in front of the first layer.
    """

    costs: Values
    states: _Indices
    end: Values

    def times(self, factor: float) -> LayerSteps:
        """The steps of a multiple of the cost."""
        return replace(self, costs=factor * self.costs, end=factor * self.end)


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
        steps: the same sum, a layer at a time.
    """

    def __init__(self, space: Space, cost_of: Callable[[Op], float], *, stabilizers: bool = False) -> None:
        self.space = space
        self.stabilizers = stabilizers
        self.per_choice, self.per_stabilizer, self.fixed, self.steps = lower(space, cost_of, np.add, stabilizers)
        self._lower()

    def __call__(self, archs: npt.ArrayLike) -> Values:
        """Cost of each arch.

        Args:
            archs: (N, L) or (L,); integers of any width, no copy is made of an array.

        Raises:
            ArchError: not archs of the space.
        """
        if not (isinstance(archs, np.ndarray) and archs.dtype.kind in "iu" and archs.shape[1:] == self._shape):
            archs = self.space.check(archs)
        sums = np.empty(len(archs))
        for start in range(0, len(archs), _ROWS_AT_ONCE):
            rows = archs[start : start + _ROWS_AT_ONCE]
            sums[start : start + len(rows)] = self._sum(rows)
        if np.isnan(sums).any():  # tables are NaN at choices that a layer doesn't have
            self.space.check(archs)
        return sums

    def _sum(self, rows: npt.NDArray[np.integer]) -> Values:
        digits = rows.astype(np.float32)  # exact where it matters, and matrix products are fast in float32 only
        if digits.min() < 0 or digits.max() >= self.per_choice.shape[1]:
            self.space.check(rows)  # raises; digits in range give indices in range
        indices = np.empty((len(self._weights), len(rows)), dtype=np.intp)
        step = max(1, _MADDS_AT_ONCE // self._weights.size)
        for start in range(0, len(rows), step):
            indices[:, start : start + step] = self._weights @ digits[start : start + step].T
        total = np.zeros(len(rows))
        for group, (costs, states) in enumerate(self._tables):
            total += costs.take(indices[group])
            if self.stabilizers and group + 1 < len(indices):
                indices[group + 1] += states.take(indices[group])
        return total

    def _lower(self) -> None:
        """Makes the groups, from the head to the stem: their tables, and the weights (groups, L) of their indices."""
        layers, choices = self.per_choice.shape
        states = len(self.steps.end)
        size = max(s for s in range(1, layers + 1) if s == 1 or states * choices**s <= _TABLE_ENTRIES)
        groups = [range(max(0, end - size), end) for end in range(layers, 0, -size)]
        self._shape = (layers,)
        self._weights = np.zeros((len(groups), layers), dtype=np.float32)
        self._tables: list[tuple[Values, _Indices]] = []
        for row, group in enumerate(groups):
            self._weights[row, group] = [states * choices**place for place in reversed(range(len(group)))]
            costs, behind = np.zeros(states), np.arange(states)
            for layer in reversed(group):
                costs = (costs + self.steps.costs[layer][:, behind]).ravel()
                behind = self.steps.states[layer][:, behind].ravel()
            self._tables.append((costs, behind))
        costs, behind = self._tables[-1]
        costs += self.steps.end[behind]


def lower(
    space: Space, cost_of: Callable[[Op], float], join: Callable[[Values, Values], Values], stabilizers: bool
) -> tuple[Values, Values, float, LayerSteps]:
    """A cost of Ops, and how the costs of a network's ops join into the network's.

    Returns:
        As :class:`LayerSum`'s attributes: per_choice, per_stabilizer, fixed, steps.
    """
    needed = [op for op in space.distinct_ops if stabilizers or not isinstance(op, Stabilizer)]
    costs = {op: cost_of(op) for op in needed}
    fixed = float(join(np.array(costs[space.stem]), np.array(costs[space.head])))
    per_choice = np.full((space.num_layers, int(space.num_choices.max())), np.nan)
    per_stabilizer = np.zeros(space.num_layers)
    for layer, choices in enumerate(space.layers):
        for index, op in enumerate(choices):
            is_skip = isinstance(op, Stabilizer)
            per_choice[layer, index] = 0.0 if is_skip else costs[op]
            if is_skip and stabilizers:
                per_stabilizer[layer] = costs[op]
    states = 3 if stabilizers else 1
    steps = LayerSteps(
        costs=np.repeat(per_choice[:, :, None], states, axis=2),
        states=np.full((*per_choice.shape, states), _FOLDS),
        end=np.full(states, fixed),
    )
    if stabilizers:
        _keep_stabilizers(space, per_stabilizer, join, steps)
    return per_choice, per_stabilizer, fixed, steps


def _keep_stabilizers(
    space: Space, per_stabilizer: Values, join: Callable[[Values, Values], Values], steps: LayerSteps
) -> None:
    for layer, choices in enumerate(space.layers):
        for index, op in enumerate(choices):
            if isinstance(op, Stabilizer):
                steps.states[layer, index] = [_FOLDS, _RUN, _RUN]
                continue
            steps.states[layer, index] = _FOLDS if op.absorbs_before else _BLOCK
            if not op.absorbs_after and layer + 1 < len(per_stabilizer):
                steps.costs[layer, index, _RUN] = join(steps.costs[layer, index, _RUN], per_stabilizer[layer + 1])
    if not space.stem.absorbs_after:
        steps.end[_RUN] = join(steps.end[_RUN], per_stabilizer[0])


def madds(space: Space, *, stabilizers: bool = False) -> LayerSum:
    """Multiply-adds of archs at batch 1, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).madds, stabilizers=stabilizers)


def params(space: Space, *, stabilizers: bool = False) -> LayerSum:
    """Parameters of archs, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).params, stabilizers=stabilizers)
