"""Latency from costs: a non-negative sum of interpretable costs, corrected by what near measurements left over.

    latency ≈ (costs · weights) · exp(residual(coordinates))

The first factor is a roofline in the spirit of Williams et al. (CACM 2009) with the parts added up: so much per
multiply-add, per element moved, per call. Its weights can't be negative, so it stays positive and grows with every
cost however far it is extrapolated. The second is a Gaussian process on the logarithm of what the first leaves over
(Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, §2.2, Matérn 3/2 kernel): near measurements it
takes their word, far from all of them it fades to 1 and the error grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Values
from hwnas.errors import TableError

LENGTH_SCALES = (2.0, 4.0, 8.0)  # in units of the coordinates; doublings, where they are log2
NOISE_SHARES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # variance of the noise, relative to the residual's
LEAST_DEVIATION = 1e-2  # of a log latency: what a repeated measurement differs by at least
MINIMUM_ENTRIES = 2  # so that one can be left out
FOLDS = 10  # of the cross-validation inside a fit, at most
_MOST_TUNED = 400  # measurements that length scale, noise and variance are chosen on: that takes the cube of them
LEAST_SHARE = 1e-4  # of the latency, that each cost has: none is quite free, so no latency is zero


@dataclass(frozen=True, eq=False)
class LatencyRegression:
    """A fitted model; see the module's docstring.

    Attributes:
        weights: ms per unit of each cost, (K,), none negative.
        length_scale: distance of coordinates over which residuals are alike.
        noise_share: variance of a single measurement's noise, relative to the residual's.
        variance: of the residual, of the log latency.
        freedom: degrees of freedom of ``variance``: groups left out, less one.
    """

    weights: Values
    length_scale: float
    noise_share: float
    variance: float
    freedom: int
    _coordinates: Values
    _alpha: Values
    _inverse: Values

    @staticmethod
    def fit(
        costs: Values, coordinates: Values, latency_ms: Values, groups: npt.NDArray[np.generic] | None = None
    ) -> LatencyRegression:
        """The model of ``N`` measurements.

        Args:
            costs: (N, K), none negative, in units that latency is proportional to; each row has a positive one.
            coordinates: (N, D), in which near means alike, as log2 of sizes.
            latency_ms: (N,), positive.
            groups: (N,) labels. The residual's length scale and variance are those under which each group is best
                predicted by all others; so error bars hold for what is as new as a group. Default: each its own.

        Raises:
            TableError: fewer than ``MINIMUM_ENTRIES`` measurements.
        """
        count = len(latency_ms)
        if count < MINIMUM_ENTRIES:
            raise TableError(f"{count} measurements, a model needs {MINIMUM_ENTRIES}; profile more")
        weights = _relative_nnls(costs, latency_ms)
        residuals = np.log(latency_ms / (costs @ weights))
        labels = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
        unseen = np.empty(count)  # left over by a sum that hasn't seen them: else what is new would look too easy
        for fold in _folds(labels):
            others = np.setdiff1d(np.arange(count), fold)
            unseen[fold] = np.log(latency_ms[fold] / (costs[fold] @ _relative_nnls(costs[others], latency_ms[others])))
        tuned = _evenly(latency_ms, _MOST_TUNED)
        length_scale, noise_share, variance, freedom = _tuned(coordinates[tuned], unseen[tuned], labels[tuned])
        near = matern(_distances(coordinates, coordinates) / length_scale)
        inverse: Values = np.linalg.inv(near + noise_share * np.eye(count)).astype(np.float64, copy=False)
        return LatencyRegression(
            weights, length_scale, noise_share, variance, freedom, coordinates, inverse @ residuals, inverse
        )

    def predict(self, costs: Values, coordinates: Values) -> tuple[Values, Values]:
        """Latency of ops that needn't have been measured.

        Returns:
            Latency in ms and the relative half-width of its 90 % prediction interval, (N,) each.
        """
        from scipy.special import stdtrit  # as long to load as all else that prices what was measured

        near = matern(_distances(coordinates, self._coordinates) / self.length_scale)
        unexplained = 1 + self.noise_share - np.einsum("ij,jk,ik->i", near, self._inverse, near, optimize=True)
        deviation = np.sqrt(self.variance * np.maximum(unexplained, self.noise_share))
        error_90 = np.expm1(stdtrit(self.freedom, 0.95) * np.maximum(deviation, LEAST_DEVIATION))
        return (costs @ self.weights) * np.exp(near @ self._alpha), error_90


def _evenly(latency_ms: Values, count: int) -> npt.NDArray[np.intp]:
    """Rows of so many measurements, or of all, spread over fast and slow ones."""
    if len(latency_ms) <= count:
        return np.arange(len(latency_ms))
    return np.sort(np.argsort(latency_ms, kind="stable")[np.linspace(0, len(latency_ms) - 1, count).astype(int)])


def _tuned(coordinates: Values, unseen: Values, labels: npt.NDArray[np.intp]) -> tuple[float, float, float, int]:
    """The length scale, noise share and variance by which each fold is best predicted; the variance's freedom."""
    folds = _folds(np.unique(labels, return_inverse=True)[1])
    distances = _distances(coordinates, coordinates)
    best_density = -np.inf
    for length_scale in LENGTH_SCALES:
        values, vectors = np.linalg.eigh(matern(distances / length_scale))
        for noise_share in NOISE_SHARES:
            inverse = (vectors / (np.maximum(values, 0) + noise_share)) @ vectors.T
            density, variance = _left_out(inverse, unseen, folds)
            if density > best_density:
                best_density = density
                best = length_scale, noise_share, variance
    return *best, len(folds) - 1


def _folds(labels: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Rows of each of up to ``FOLDS`` parts, whole groups each; rows one by one where there are too few groups."""
    if labels.max() + 1 < MINIMUM_ENTRIES:
        labels = np.arange(len(labels))
    return [np.flatnonzero(labels % FOLDS == part) for part in range(min(FOLDS, labels.max() + 1))]


def _relative_nnls(costs: Values, latency_ms: Values) -> Values:
    """Non-negative least squares of the relative error. A cost that no measurement has gets no weight."""
    from scipy.optimize import nnls  # likewise

    relative = costs / latency_ms[:, None]
    scale = np.where(relative.any(axis=0), relative.mean(axis=0), np.inf)  # costs differ by orders of magnitude
    shares: Values = nnls(relative / scale, np.ones(len(latency_ms)))[0]
    return np.maximum(shares, LEAST_SHARE) / scale


def _distances(some: Values, others: Values) -> Values:
    """Euclidean, of each row of ``some`` to each of ``others``."""
    from scipy.spatial.distance import cdist  # likewise

    found: Values = cdist(some, others)
    return found


def matern(scaled_distances: Values) -> Values:
    scaled = np.sqrt(3) * scaled_distances
    kernel: Values = (1 + scaled) * np.exp(-scaled)
    return kernel


def _left_out(inverse: Values, residuals: Values, folds: list[npt.NDArray[np.intp]]) -> tuple[float, float]:
    """How well each fold's residuals are predicted by the others', in closed form (R&W §5.4.2, for groups).

    Returns:
        Mean log density of the left-out residuals, and the variance of the process under which it is largest.
    """
    alpha = inverse @ residuals
    errors, variances = np.empty_like(residuals), np.empty_like(residuals)
    for fold in folds:
        covariance = np.linalg.inv(inverse[np.ix_(fold, fold)])
        errors[fold] = covariance @ alpha[fold]
        variances[fold] = np.diag(covariance)
    variance = max(float(np.mean(errors**2 / variances)), LEAST_DEVIATION**2)
    density = -0.5 * float(np.mean(np.log(variance * variances) + errors**2 / (variance * variances)))
    return density, variance
