"""Coordinate descent: the way to a low value of any function of archs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.space.space import Space


def descend(space: Space, fn: Callable[[Archs], Values], start: Archs) -> tuple[Archs, float]:
    """An arch that no single-layer change improves: a layer after the other takes its best choice, until none does.

    It is the best of all where each layer adds to ``fn`` on its own, which one sweep minimises. Of any other function
    it is a local minimum.

    Args:
        space: whose archs.
        fn: archs (N, L) -> (N,) finite numbers; called once for each layer and sweep.
        start: (L,) the arch to begin at.

    Returns:
        The arch (L,) and its value.
    """
    arch, value = start.copy(), float(fn(start[None])[0])
    improved = True
    while improved:  # ends, because the value falls in every sweep but the last and there are finitely many archs
        improved = False
        for layer, count in enumerate(space.num_choices):
            options = np.repeat(arch[None], count, axis=0)
            options[:, layer] = np.arange(count)
            values = fn(options)
            best = int(np.argmin(values))
            if values[best] < value:
                arch, value, improved = options[best], float(values[best]), True
    return arch, value
