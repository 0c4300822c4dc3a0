"""How many ops a network has: the calibration's second term."""

from __future__ import annotations

from hwnas.predict.lowered import LayerSum
from hwnas.space.space import Space


def depth(space: Space) -> LayerSum:
    """Ops of archs, stem and head included, skips not."""
    return LayerSum(space, lambda op: 1.0)
