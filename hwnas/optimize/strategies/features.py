"""What a costly objective may depend on, as numbers: the choices, the depth, and the free objectives."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.optimize.problem import Problem
from hwnas.space.op import Downsample, Stabilizer
from hwnas.space.space import Space

_SCALED_ON = 512


class Features:
    """archs (N, L) -> (N, F): a column per layer and choice, which is 1 where it is taken; then, scaled over the
    space and with their squares, the depth, the free objectives and the logarithms of those that never change sign.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._is_block = _is_block(problem.space)
        some = problem.space.sample(_SCALED_ON, 0)
        free = free_values(problem, some)
        self._logged = (free > 0).all(axis=0) | (free < 0).all(axis=0)
        self._least = np.abs(free).min(axis=0)[self._logged] / 1e3
        numbers = self._numbers(some)
        self._mean, self._scale = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-12)

    def __call__(self, archs: Archs) -> Values:
        taken = archs[:, :, None] == np.arange(self._is_block.shape[1])
        numbers = (self._numbers(archs) - self._mean) / self._scale
        return np.concatenate([taken.reshape(len(archs), self._is_block.size), numbers, numbers**2], axis=1)

    def _numbers(self, archs: Archs) -> Values:
        depth = self._is_block[np.arange(archs.shape[1]), archs].sum(axis=1)
        free = free_values(self._problem, archs)
        logs = np.log(np.maximum(np.abs(free[:, self._logged]), self._least))
        return np.column_stack([depth, free, logs])


def free_values(problem: Problem, archs: Archs) -> Values:
    """(N, F) the free objectives of (N, L) archs, all minimised."""
    columns = (objective.minimised(archs) for objective in problem.free)
    return np.column_stack([np.empty((len(archs), 0)), *columns])


def _is_block(space: Space) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(L, C) whether a choice adds depth: a skip doesn't, nor does what only halves the resolution."""
    found = np.zeros((space.num_layers, int(space.num_choices.max())), dtype=np.bool_)
    for layer, choices in enumerate(space.layers):
        for index, op in enumerate(choices):
            found[layer, index] = not isinstance(op, Stabilizer | Downsample)
    return found
