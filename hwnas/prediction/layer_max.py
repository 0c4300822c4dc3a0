"""`LayerMax`: the largest cost of a network's Ops, lowered onto a space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Values
from hwnas.prediction.lowered import lower
from hwnas.space.op import Op
from hwnas.space.space import Space


class LayerMax:
    """``max(fixed, max_layers per_choice[layer, choice])``: archs (N, L) -> float64 (N,).

    Args:
        space: whose archs.
        cost_of: cost of one Op, not negative; called once for each distinct Op.
        stabilizers: see :class:`hwnas.prediction.lowered.LayerSum`.

    Attributes:
        steps: the same, a layer at a time; a walk's cost is the largest of its steps'.
    """

    def __init__(self, space: Space, cost_of: Callable[[Op], float], *, stabilizers: bool = False) -> None:
        self.space = space
        self._per_choice, self._per_stabilizer, self._fixed, self.steps = lower(space, cost_of, np.maximum, stabilizers)

    def __call__(self, archs: npt.ArrayLike) -> Values:
        """The largest cost in each arch, (N, L) or (L,).

        Raises:
            ArchError: not archs of the space.
        """
        checked = self.space.check(archs)
        largest = np.full(len(checked), self._fixed)
        for costs, choices in zip(self._per_choice, checked.T, strict=True):
            np.maximum(largest, costs.take(choices), out=largest)
        if self._per_stabilizer.any():
            kept = self.space.kept_stabilizers(checked) * self._per_stabilizer
            np.maximum(largest, kept.max(axis=1), out=largest)
        return largest
