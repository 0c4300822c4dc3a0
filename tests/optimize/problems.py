"""Synthetic problems whose exact answers are known by enumeration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.optimize.pareto import hypervolume
from hwnas.optimize.problem import Objective
from hwnas.space.registry import get_space
from hwnas.space.space import Space

MACRO = get_space("macro")
# Contiguous, because numpy adds up the layers of a transposed array in another order, hence to other last digits.
ALL_MACRO: Archs = np.ascontiguousarray(np.indices((3,) * 8, dtype=np.int64).reshape(8, -1).T)
MAXIMIZE = (True, False)


def layer_sum(space: Space, per_choice: Values) -> Callable[[Archs], Values]:
    """archs -> Σ_layers per_choice[layer, choice]."""
    layers = np.arange(space.num_layers)
    return lambda archs: per_choice[layers, archs].sum(axis=1)


def table(space: Space, seed: int, low: float = 0.5, high: float = 2.0) -> Values:
    """A random number per layer and choice."""
    return np.random.default_rng(seed).uniform(low, high, (space.num_layers, int(space.num_choices.max())))


def quality_and_cost(seed: int) -> tuple[Callable[[Archs], Values], Callable[[Archs], Values]]:
    """On macro, a saturating quality in percent (larger is better) and a cost that pulls against it.

    Heavier choices are better and dearer, each layer at its own rate and with some noise.
    """
    rng = np.random.default_rng(seed)
    size = np.array([0.0, 3.0, 7.0])
    gain = layer_sum(MACRO, np.sqrt(size) * rng.uniform(0.2, 2, (8, 1)) * rng.uniform(0.7, 1.3, (8, 3)))
    cost = layer_sum(MACRO, 1 + size * rng.uniform(0.5, 2, (8, 1)))
    return lambda archs: 100 * (1 - np.exp(-gain(archs) / 8)), cost


def quality_cost_objectives(seed: int, free: bool = True) -> list[Objective]:
    quality, cost = quality_and_cost(seed)
    return [Objective("quality", quality, maximize=True), Objective("cost_ms", cost, free=free)]


def exact_values(objectives: list[Objective]) -> Values:
    """(6561, K) values of every arch of macro."""
    return np.column_stack([objective.values(ALL_MACRO) for objective in objectives])


def share_of_exact(values: Values, exact: Values, reference: tuple[float, float]) -> float:
    """Hypervolume of (quality, cost) values as a share of what all archs have together."""
    return hypervolume(values, reference, MAXIMIZE) / hypervolume(exact, reference, MAXIMIZE)
