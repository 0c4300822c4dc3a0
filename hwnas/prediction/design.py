"""Which whole networks to measure for a calibration: those that pin it down, not random ones.

I-optimal design (Atkinson, Donev, Tobias 2007, §10.6): of a large random pool, take one network after the other, each
the one that makes the average variance of the calibrated predictions over the pool smallest. Multiply-adds stand for
the sum of op latencies, which isn't known yet.
"""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import ConfigError
from hwnas.prediction.calibrate import count_classes
from hwnas.prediction.costs import madds
from hwnas.space.space import Space

_POOL = 2000
_RIDGE = 1e-3


def calibration_networks(space: Space, count: int, seed: int) -> Archs:
    """``count`` archs (fewer if the space is smaller) to measure: (count, L).

    Half of the pool is uniform over the space, half has more skips, as the archs of tight budgets do.

    Raises:
        ConfigError: ``count`` is below 3, the number of the calibration's terms.
    """
    if count < 3:
        raise ConfigError(f"a calibration needs 3 networks, got {count}")
    rng = np.random.default_rng(seed)
    pool = np.unique(np.concatenate([space.sample(_POOL // 2, rng), _shallow(space, _POOL // 2, rng)]), axis=0)
    pool = rng.permutation(pool)
    rows = np.stack([madds(space)(pool), np.ones(len(pool)), *count_classes(space, pool).values()], axis=1)
    rows /= rows[:, :1]  # what is fitted are relative errors, so each network counts by the inverse of its latency
    return pool[i_optimal(rows, count)]


def i_optimal(rows: Values, count: int) -> list[int]:
    """Which of N candidates to measure so that a linear model predicts all of them best, in order.

    Args:
        rows: (N, K), what the K terms of each are: their fractions of what is predicted, if relative errors count.
        count: how many; all, if there are fewer.
    """
    rows = rows / rows.mean(axis=0)  # a ridge needs terms of one size
    average = rows.T @ rows / len(rows)
    inverse = np.eye(rows.shape[1]) / _RIDGE
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        # adding x takes (x' V A V x) / (1 + x' V x) off the average variance, V the inverse (Sherman and Morrison)
        projected = rows @ inverse
        gain = np.einsum("ij,jk,ik->i", projected, average, projected) / (1 + np.einsum("ij,ij->i", projected, rows))
        gain[chosen] = -1  # each once
        best = int(gain.argmax())
        chosen.append(best)
        inverse -= np.outer(projected[best], projected[best]) / (1 + projected[best] @ rows[best])
    return chosen


def _shallow(space: Space, count: int, rng: np.random.Generator) -> Archs:
    archs = space.sample(count, rng)
    transitions = space.plain().transitions()
    skips = transitions.skips if transitions else np.full(space.num_layers, -1)
    skipped = (rng.random(archs.shape) < rng.random((count, 1)) * 0.6) & (skips >= 0)
    return np.where(skipped, skips, archs)
