"""Rank correlations in all resamples of a bootstrap at once.

A resample is a vector of weights, how often each arch was drawn: pairs that agree less pairs that don't are a quadratic
form of the weights, and ranks are cumulated weights.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Values

_ROWS_AT_ONCE = 1024


def resampled(count: int, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(B + 1, N) how often each of ``count`` archs is in each resample; the first one is the archs themselves.

    A row's sum is N, so sums of its entries with signs are integers that float32 holds exactly.
    """
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn]).astype(np.float32)


class Column:
    """A value (N,) per arch, in all resamples, ready to be correlated with another column's."""

    def __init__(self, weights: npt.NDArray[np.float32], values: Values) -> None:
        self.weights = weights
        distinct, self._group = np.unique(values, return_inverse=True)
        self.dense_ranks = self._group.astype(np.float32)
        order = np.argsort(self._group, kind="stable")
        starts = np.searchsorted(self._group[order], np.arange(len(distinct)))
        # (B + 1, K) how many drawn archs have each distinct value
        self._sums = np.add.reduceat(weights[:, order], starts, axis=1, dtype=np.float64)

    @property
    def untied_pairs(self) -> Values:
        """(B + 1,) pairs with different values."""
        return np.asarray((self._sums.sum(axis=1) ** 2 - (self._sums**2).sum(axis=1)) / 2)

    @cached_property
    def mid_ranks(self) -> Values:
        """(B + 1, N) rank in each resample, less the mean rank; those of equal value share the middle one."""
        middle = np.cumsum(self._sums, axis=1) - self._sums / 2 - self._sums.sum(axis=1, keepdims=True) / 2
        return np.asarray(middle[:, self._group])


def kendall_tau(a: Column, b: Column) -> Values:
    """Kendall's τ-b in each resample: (B + 1,); NaN where a column is constant."""
    weights = a.weights
    surplus = np.zeros(len(weights))
    for start in range(0, weights.shape[1], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        agree = _signs(a.dense_ranks, rows)
        agree *= _signs(b.dense_ranks, rows)
        surplus += np.einsum("bn,bn->b", weights @ agree, weights[:, rows], dtype=np.float64, casting="same_kind") / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(surplus / np.sqrt(a.untied_pairs * b.untied_pairs))


def _signs(ranks: npt.NDArray[np.float32], rows: slice) -> npt.NDArray[np.float32]:
    """(N, rows) which arch of a pair is ahead: -1, 0 or 1."""
    return np.asarray(np.sign(ranks[:, None] - ranks[None, rows]))


def spearman(a: Column, b: Column) -> Values:
    """Spearman's ρ in each resample: (B + 1,); NaN where a column is constant."""
    weights = a.weights

    def products(x: Column, y: Column) -> Values:
        return np.asarray(np.einsum("bn,bn,bn->b", weights, x.mid_ranks, y.mid_ranks, dtype=np.float64))

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(products(a, b) / np.sqrt(products(a, a) * products(b, b)))
