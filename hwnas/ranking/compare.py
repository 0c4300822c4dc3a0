"""How well scores order archs by their true accuracy, with intervals, beside what ordering by size achieves.

A supernet is of use to a search if its inherited accuracies order archs as trainings of their own would. One number
can't say that: with few archs it is mostly chance, and deeper networks are better anyway. So every rank correlation
comes with an interval, over all archs and over the best of them alone (where a search has to decide), and beside the
correlations that depth, multiply-adds, parameters and random orders have on the same archs.

The intervals are percentiles of a bootstrap over archs (Efron 1979). All columns share their resamples, so differences
are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb, isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Values
from hwnas.errors import DataError
from hwnas.prediction.costs import madds, params
from hwnas.ranking.correlation import Column, kendall_tau, resampled, spearman
from hwnas.records.rank import Correlations, Estimate, Part, Picks, Ranking
from hwnas.space.chain import ChainSpace

LEAST_ARCHS = 10
"""Fewer can be in any order by chance: no correlation is given of them."""

TOP_SHARE = 0.2
"""The best archs by true accuracy that are also ranked by themselves."""

RANDOM = "random"
"""The baseline that is chance: its interval holds 95 % of random orders."""

RESAMPLES = 2000
_RIDGE_STRENGTHS = np.logspace(-3, 3, 13)
_NORMAL_95 = 1.96
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """N archs with their true accuracies and what is said to predict them.

    Attributes:
        archs: (N, L).
        truth: (N, R) accuracies in [0, 1] of R trainings of each.
        supernets: name -> inherited accuracies (N,).
        baselines: name -> (N,), more for what is taken to be better.
    """

    archs: Archs
    truth: Values
    supernets: Mapping[str, Values]
    baselines: Mapping[str, Values]

    @property
    def accuracy(self) -> Values:
        """(N,) the mean over an arch's trainings."""
        return np.asarray(self.truth.mean(axis=1))


def baselines(space: ChainSpace, archs: Archs) -> dict[str, Values]:
    """What orders archs (N, L) without any training: depth, multiply-adds and parameters, (N,) each."""
    plain = space.plain()
    return {
        "depth": space.depth(archs).astype(np.float64),
        "madds": madds(plain)(archs),
        "params": params(plain)(archs),
    }


def additive_fit(space: ChainSpace, archs: Archs, scores: Values) -> Values:
    """A constant plus a term per layer and choice that fits ``scores`` (N,) of ``archs`` (N, L) best: (N,).

    One arch's inherited score has errors of its own, from the paths that happened to be trained together; in a sum over
    layers they average out, at the price of how layers act together. Ridge regression, its strength by leave-one-out
    error (Golub, Heath & Wahba 1979). It knows nothing but the scores.
    """
    from sklearn.linear_model import RidgeCV  # slow to import

    columns = [archs[:, layer, None] == np.arange(count) for layer, count in enumerate(space.num_choices)]
    features = np.concatenate(columns, axis=1).astype(np.float64)
    spread = scores.std()
    if spread == 0:
        return scores.copy()
    fitted = RidgeCV(alphas=_RIDGE_STRENGTHS).fit(features, (scores - scores.mean()) / spread)
    return np.asarray(fitted.predict(features) * spread + scores.mean(), dtype=np.float64)


def compare(evidence: Evidence, seed: int, resamples: int = RESAMPLES) -> Ranking:
    """Compare all scores of ``evidence`` with the truth.

    Args:
        evidence: of 10 archs at least.
        seed: of the resamples, and of the order among equal scores when picking.
        resamples: of the bootstrap.

    Raises:
        DataError: too few archs, or archs that are all equally accurate.
    """
    truth, count = evidence.accuracy, len(evidence.archs)
    if count < LEAST_ARCHS:
        raise DataError(f"there are {count} archs with a true accuracy; a ranking takes {LEAST_ARCHS} or more")
    if np.ptp(truth) == 0:
        raise DataError(f"all {count} archs have the same true accuracy, {truth[0]:.4f}; there is no order to compare")
    rng = np.random.default_rng(seed)
    everything = np.arange(count)
    top = np.sort(np.argsort(-truth, kind="stable")[: round(TOP_SHARE * count)])
    scores = {**evidence.supernets, **evidence.baselines}
    ties = rng.permutation(count)
    return Ranking(
        whole=_part(evidence, everything, rng, resamples),
        top=_part(evidence, top, rng, resamples) if len(top) >= LEAST_ARCHS else None,
        best_accuracy=float(truth.max()),
        picks={**{name: _picks(values, truth, ties) for name, values in scores.items()}, RANDOM: _expected(truth)},
    )


def _picks(score: Values, truth: Values, ties: npt.NDArray[np.int64]) -> Picks:
    by_score = truth[np.lexsort((ties, -score))]
    return Picks(top_1=float(by_score[0]), top_10=float(by_score[:10].max()))


def _expected(truth: Values) -> Picks:
    """What random picks have on average: the best of ten is the i-th best with the chance of its order statistic."""
    count = len(truth)
    chances = np.array([comb(below, 9) / comb(count, 10) for below in range(count)])
    return Picks(top_1=float(truth.mean()), top_10=float(np.sort(truth) @ chances))


def _chance(truth: Values) -> Correlations:
    """What random orders reach: 0 in the mean; 95 % of them lie within 1.96 standard deviations (Kendall 1938)."""

    def moment(count: int | npt.NDArray[np.int64]) -> Any:
        return count * (count - 1) * (2 * count + 5) / 18

    count, tied = len(truth), np.unique(truth, return_counts=True)[1]
    pairs, tied_pairs = count * (count - 1) / 2, (tied * (tied - 1) / 2).sum()
    with np.errstate(invalid="ignore"):
        tau = _NORMAL_95 * float(np.sqrt((moment(count) - moment(tied).sum()) / (pairs * (pairs - tied_pairs))))
    rho = _NORMAL_95 / float(np.sqrt(count - 1))
    return Correlations(
        kendall_tau=Estimate(value=0.0, low=-tau, high=tau), spearman=Estimate(value=0.0, low=-rho, high=rho)
    )


def _part(evidence: Evidence, rows: npt.NDArray[np.intp], rng: np.random.Generator, resamples: int) -> Part:
    drawn = resampled(len(rows), resamples, rng)
    truth, trainings = Column(drawn, evidence.accuracy[rows]), evidence.truth[rows].T
    scores = {**evidence.supernets, **evidence.baselines}
    found = {name: _correlations(Column(drawn, score[rows]), truth) for name, score in scores.items()}
    best = max(evidence.baselines, key=lambda name: (not isnan(found[name][0, 0]), found[name][0, 0]))
    ceiling = None
    if len(trainings) > 1:
        columns = [Column(drawn, training) for training in trainings]
        pairs = [_correlations(a, b) for index, a in enumerate(columns) for b in columns[:index]]
        ceiling = _estimates(np.mean(pairs, axis=0))
    return Part(
        archs=len(rows),
        correlations={
            **{name: _estimates(values) for name, values in found.items()},
            RANDOM: _chance(evidence.accuracy[rows]),
        },
        best_baseline=best,
        leads={name: _estimate(found[name][0] - found[best][0]) for name in evidence.supernets},
        ceiling=ceiling,
    )


def _correlations(a: Column, b: Column) -> Values:
    """(2, B + 1) τ and ρ."""
    return np.stack([kendall_tau(a, b), spearman(a, b)])


def _estimates(taus_and_rhos: Values) -> Correlations:
    taus, rhos = taus_and_rhos
    return Correlations(kendall_tau=_estimate(taus), spearman=_estimate(rhos))


def _estimate(values: Values) -> Estimate:
    """Of a statistic of the archs themselves (first) and of their resamples; those that define none are left out."""
    value, defined = float(values[0]), values[1:][~np.isnan(values[1:])]
    if isnan(value):
        return Estimate(value=None, low=None, high=None)
    if not len(defined):
        return Estimate(value=value, low=None, high=None)
    low, high = np.quantile(defined, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
