"""What a costly objective may depend on, as numbers: the choices, the depth, and the free objectives."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.optimize.problem import Problem

_SCALED_ON = 512


class Features:
    """archs (N, L) -> (N, F): a column per layer and choice, which is 1 where it is taken; then, scaled over the
    space and with their squares, the depth, the free objectives and the logarithms of those that never change sign.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._encode = problem.space.encode
        some = problem.space.sample(_SCALED_ON, 0)
        free = free_values(problem, some)
        self._logged = (free > 0).all(axis=0) | (free < 0).all(axis=0)
        self._least = np.abs(free).min(axis=0)[self._logged] / 1e3
        numbers = self._numbers(some)
        self._mean, self._scale = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-12)

    def __call__(self, archs: Archs) -> Values:
        numbers = (self._numbers(archs) - self._mean) / self._scale
        return np.concatenate([self._encode(archs).taken, numbers, numbers**2], axis=1)

    def _numbers(self, archs: Archs) -> Values:
        free = free_values(self._problem, archs)
        logs = np.log(np.maximum(np.abs(free[:, self._logged]), self._least))
        return np.column_stack([self._encode(archs).numbers, free, logs])


def free_values(problem: Problem, archs: Archs) -> Values:
    """(N, F) the free objectives of (N, L) archs, all minimised."""
    columns = (objective.minimised(archs) for objective in problem.free)
    return np.column_stack([np.empty((len(archs), 0)), *columns])
