"""`Surrogate`: what an objective that costs something will probably be for archs that nobody has evaluated.

A Gaussian process (Rasmussen & Williams 2006, §2.2) on a kernel of two parts: archs that differ in few layers are
alike, exp(-θ · differing layers), and each choice, the depth and the free objectives have a slope of their own, which
on its own would be ridge regression. How much of each, and how much noise, is chosen by leave-one-out
cross-validation: the log probability of each value given all others (§5.4.2), for which no model is fitted twice.

What is modelled is -log(best possible - value): accuracies crowd towards a ceiling, where a tenth of a point is worth
as much as whole points at the other end, and it is there that a front is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri

from hwnas.arrays import Archs, Values
from hwnas.optimize.problem import Problem

_DECAYS = (0.1, 0.2, 0.35, 0.6, 1.0)
_SLOPES = (0.1, 0.5, 2.0, 8.0)
_NOISES = (1e-3, 5e-3, 2e-2, 0.1)
_CEILING = 0.4
"""How far above the best value the best possible one is taken to be, as a share of best - median."""

_CHOSEN_ON = 200
"""Archs on which kernels are compared at most; with more, an even share of them: each comparison takes time ∝ N³."""


_SCALED_ON = 512


class Features:
    """archs (N, L) -> (N, F): a column per layer and choice, which is 1 where it is taken; then, scaled over the
    space and with their squares, the depth, the free objectives and the logarithms of those that never change sign.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._encode = problem.space.encode
        some = problem.space.sample(_SCALED_ON, 0)
        free = problem.free_values(some)
        self._logged = (free > 0).all(axis=0) | (free < 0).all(axis=0)
        self._least = np.abs(free).min(axis=0)[self._logged] / 1e3
        numbers = self._numbers(some)
        self._mean, self._scale = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-12)

    def __call__(self, archs: Archs) -> Values:
        numbers = (self._numbers(archs) - self._mean) / self._scale
        return np.concatenate([self._encode(archs).taken, numbers, numbers**2], axis=1)

    def _numbers(self, archs: Archs) -> Values:
        free = self._problem.free_values(archs)
        logs = np.log(np.maximum(np.abs(free[:, self._logged]), self._least))
        return np.column_stack([self._encode(archs).numbers, free, logs])


@dataclass(frozen=True)
class _Kernel:
    decay: float
    slope: float
    noise: float


class Surrogate:
    """A model of one objective, larger being better.

    Args:
        features: archs (N, L) -> (N, F) numbers of about unit size that the objective may be linear in.
        archs: (N, L), N ≥ 1.
        values: (N,) what it is for them, larger being better.
    """

    def __init__(self, features: Callable[[Archs], Values], archs: Archs, values: Values) -> None:
        self._features, self._archs = features, archs
        self._ceiling = float(values.max() + _CEILING * (values.max() - np.median(values)) + 1e-9)
        warped = -np.log(self._ceiling - values)
        self._mean, self._scale = float(warped.mean()), float(warped.std()) or 1.0
        targets = (warped - self._mean) / self._scale
        self._linear = features(archs)
        self._kernel = self._choose(targets)
        factor = cho_factor(self._covariance(self._kernel, archs, self._linear, own=True))
        self._weights = cho_solve(factor, targets)
        self._inverse = cho_solve(factor, np.eye(len(archs)))
        self._variance = float(targets @ self._weights) / len(archs)

    def quantiles(self, archs: Archs, probabilities: npt.ArrayLike) -> Values:
        """(N, Q) values of (N, L) archs that are reached with these (Q,) probabilities."""
        linear = self._features(archs)
        across = self._covariance(self._kernel, archs, linear)
        mean = across @ self._weights
        prior = 1 + self._kernel.slope * np.einsum("ij,ij->i", linear, linear)
        explained = np.einsum("ij,ij->i", across @ self._inverse, across)
        deviation = np.sqrt(np.maximum(self._variance * (prior - explained), 1e-12))
        warped = mean[:, None] + deviation[:, None] * ndtri(np.asarray(probabilities))
        values: Values = self._ceiling - np.exp(-(warped * self._scale + self._mean))
        return values

    def _covariance(self, kernel: _Kernel, archs: Archs, linear: Values, *, own: bool = False) -> Values:
        differing = (archs[:, None, :] != self._archs[None]).sum(axis=2)
        covariance: Values = np.exp(-kernel.decay * differing) + kernel.slope * linear @ self._linear.T
        return covariance + kernel.noise * np.eye(len(archs)) if own else covariance

    def _choose(self, targets: Values) -> _Kernel:
        some = np.linspace(0, len(targets) - 1, min(len(targets), _CHOSEN_ON)).astype(np.int64)
        archs, linear, targets = self._archs[some], self._linear[some], targets[some]
        differing = (archs[:, None, :] != archs[None]).sum(axis=2)
        alike, slopes = [np.exp(-decay * differing) for decay in _DECAYS], linear @ linear.T
        best, chosen = -np.inf, _Kernel(_DECAYS[0], _SLOPES[0], _NOISES[-1])
        for (decay, near), slope in product(zip(_DECAYS, alike, strict=True), _SLOPES):
            smooth = near + slope * slopes
            for noise in _NOISES:
                probability = _left_out(smooth + noise * np.eye(len(targets)), targets)
                if probability > best:
                    best, chosen = probability, _Kernel(decay, slope, noise)
        return chosen


def _left_out(covariance: Values, targets: Values) -> float:
    """Σ log p(each target given all others), the covariance's scale fitted (Rasmussen & Williams 2006, eq. 5.10-12)."""
    inverse = np.linalg.inv(covariance)
    weights, precision = inverse @ targets, np.diag(inverse)
    scale = max(float((weights**2 / precision).mean()), 1e-12)
    return float(0.5 * np.log(precision).sum() - 0.5 * len(targets) * np.log(scale))
