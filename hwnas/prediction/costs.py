"""A cost of Ops, lowered onto a space: archs -> sums (or maxima) over their networks, tens of millions a second.

A look-up per decision spends its time on moving choices about, so neighbouring decisions share one: their choices are
the digits of one number, the index of a table that holds the group's whole cost. One matrix product turns a block of
archs into these numbers. What a choice adds may depend on what lies behind it; the walk goes from the last decision to
the first and carries that as a state from group to group, the last digit of the next group's index.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Indices, Values
from hwnas.errors import ConfigError, SpaceError
from hwnas.graph.count import cost, peak_elements
from hwnas.graph.graph import Op
from hwnas.space.space import Space
from hwnas.space.transitions import Join, Steps

_ROWS_AT_ONCE = 8192  # so that a block of archs and its sums stay in the cache
_MADDS_AT_ONCE = 2**17  # below OpenBLAS's 2**18, from where it shares a product among threads: waiting for them is slow
_TABLE_ENTRIES = 2**15  # of a group at most, 256 KiB: one at a time, tables stay in a core's own caches
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_BYTES_PER_MB = 1e6
_INT8_BYTES_PER_CHANNEL = 4 + 4 + 1 + 4 + 4
"""Of a quantized convolution beside its weights: int32 bias, scale and zero point of the weights, and of the bias."""


def _lowered(space: Space, cost_of: Callable[[Op], float], join: Join) -> Steps:
    transitions = space.transitions()
    if transitions is None:
        raise SpaceError(f"{space.name} has no transitions: costs of its archs can't be looked up")
    return transitions.lower(cost_of, join)


class LayerSum:
    """The sum of a cost over a network's ops: archs (N, L) -> float64 (N,).

    Args:
        cost_of: cost of one Op; called once for each distinct Op.

    Attributes:
        steps: the same, a decision at a time.

    Raises:
        SpaceError: the space has no transitions.
    """

    def __init__(self, space: Space, cost_of: Callable[[Op], float]) -> None:
        self.space = space
        self.steps = _lowered(space, cost_of, "sum")
        self._group()

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
        if np.isnan(sums).any():  # tables are NaN at choices that a decision doesn't have
            self.space.check(archs)
        return sums

    def _sum(self, rows: npt.NDArray[np.integer]) -> Values:
        digits = rows.astype(np.float32)  # exact where it matters, and matrix products are fast in float32 only
        if digits.min() < 0 or digits.max() >= self.steps.costs.shape[1]:
            self.space.check(rows)  # raises; digits in range give indices in range
        indices = np.empty((len(self._weights), len(rows)), dtype=np.intp)
        step = max(1, _MADDS_AT_ONCE // self._weights.size)
        for start in range(0, len(rows), step):
            indices[:, start : start + step] = self._weights @ digits[start : start + step].T
        total = np.zeros(len(rows))
        has_states = len(self.steps.end) > 1
        for group, (costs, states) in enumerate(self._tables):
            total += costs.take(indices[group])
            if has_states and group + 1 < len(indices):
                indices[group + 1] += states.take(indices[group])
        return total

    def _group(self) -> None:
        """Makes the groups, from the last to the first: their tables, and the weights (groups, L) of their indices."""
        layers, choices, states = self.steps.costs.shape
        size = max(s for s in range(1, layers + 1) if s == 1 or states * choices**s <= _TABLE_ENTRIES)
        groups = [range(max(0, end - size), end) for end in range(layers, 0, -size)]
        self._shape = (layers,)
        self._weights = np.zeros((len(groups), layers), dtype=np.float32)
        self._tables: list[tuple[Values, Indices]] = []
        for row, group in enumerate(groups):
            self._weights[row, group] = [states * choices**place for place in reversed(range(len(group)))]
            costs, behind = np.zeros(states), np.arange(states)
            for layer in reversed(group):
                costs = (costs + self.steps.costs[layer][:, behind]).ravel()
                behind = self.steps.states[layer][:, behind].ravel()
            self._tables.append((costs, behind))
        costs, behind = self._tables[-1]
        costs += self.steps.end[behind]


class LayerMax:
    """The largest of a network's ops' costs, none of which is negative: archs (N, L) -> float64 (N,).

    Arguments, attributes and errors as :class:`LayerSum` has them.
    """

    def __init__(self, space: Space, cost_of: Callable[[Op], float]) -> None:
        self.space = space
        self.steps = _lowered(space, cost_of, "max")

    def __call__(self, archs: npt.ArrayLike) -> Values:
        """The largest cost in each arch, (N, L) or (L,)."""
        checked = self.space.check(archs)
        largest, state = np.zeros(len(checked)), np.zeros(len(checked), dtype=np.intp)
        for layer in reversed(range(checked.shape[1])):
            choice = checked[:, layer]
            np.maximum(largest, self.steps.costs[layer, choice, state], out=largest)
            state = self.steps.states[layer, choice, state]
        return np.maximum(largest, self.steps.end[state])


def madds(space: Space) -> LayerSum:
    """Multiply-adds of archs at batch 1, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).madds)


def params(space: Space) -> LayerSum:
    """Parameters of archs, as an objective can use it."""
    return LayerSum(space, lambda op: cost(op).params)


def model_mb(space: Space, *, precision: str = "fp32") -> LayerSum:
    """Size of archs' weights as deployed, BN folded, in MB (10⁶ bytes); the graph around them adds some kilobytes.

    Raises:
        ConfigError: unknown precision.
    """
    size = _bytes_of(precision)
    per_bias, per_float = (_INT8_BYTES_PER_CHANNEL, _BYTES["fp32"]) if precision == "int8" else (size, size)

    def of_op(op: Op) -> float:
        counted = cost(op)
        stored = counted.weights * size + counted.biases * per_bias + counted.floats * per_float
        return stored / _BYTES_PER_MB

    return LayerSum(space, of_op)


def peak_activation_mb(space: Space, *, precision: str = "fp32") -> LayerMax:
    """Archs (N, L) -> MB (10⁶ bytes) of activations alive at one time, (N,); see `hwnas.graph.count.peak_elements`.

    Raises:
        ConfigError: unknown precision.
    """
    mb = _bytes_of(precision) / _BYTES_PER_MB
    return LayerMax(space, lambda op: peak_elements(op) * mb)


def _bytes_of(precision: str) -> int:
    if precision not in _BYTES:
        raise ConfigError(f"sizes are known for {', '.join(_BYTES)}, not for {precision!r}")
    return _BYTES[precision]
