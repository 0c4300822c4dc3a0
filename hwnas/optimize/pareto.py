"""Who is better: Pareto ranks with constraint domination, crowding, survival and hypervolume.

Values here are all minimised, except where ``maximize`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np

from hwnas.arrays import Flags, Indices, Values
from hwnas.optimize.problem import Problem


def constrained_rank(values: Values, excess: Values) -> Indices:
    """(N,) ranks of (N, K) minimised values, 0 the best (Deb 2002 §VI, constrained-domination).

    Archs within budget have their non-domination rank (§III-A); behind all of them come the others, by their
    excess (N,).
    """
    within = excess <= 0
    rank = np.empty(len(values), dtype=np.int64)
    rank[within] = moocore.pareto_rank(values[within]) if within.any() else 0
    behind = rank[within].max(initial=-1) + 1
    rank[~within] = behind + np.unique(excess[~within], return_inverse=True)[1]
    return rank


def weighted_rank(problem: Problem, values: Values) -> Indices:
    """(N,) ranks by the weighted sum of (N, K) values, 0 the best; those over a budget behind, by their excess."""
    return constrained_rank(problem.weighted(values)[:, None], problem.excess(values))


def crowding_distance(values: Values) -> Values:
    """(N,) half-perimeters of the boxes between neighbours, in (N, K) values of one rank (Deb 2002 §III-B).

    Infinite for the ends of every objective. An objective that is the same for all says nothing and adds 0.
    """
    if len(values) <= 2:
        return np.full(len(values), np.inf)
    distance = np.zeros(len(values))
    order = np.argsort(values, axis=0, kind="stable")
    for column, by_value in zip(values.T, order.T, strict=True):
        ascending = column[by_value]
        span = ascending[-1] - ascending[0]
        if span > 0:
            distance[by_value[1:-1]] += (ascending[2:] - ascending[:-2]) / span
            distance[by_value[[0, -1]]] = np.inf
    return distance


def rank_and_crowding(values: Values, excess: Values) -> tuple[Indices, Values]:
    """(N,) ranks, and (N,) crowding distances within each rank."""
    rank = constrained_rank(values, excess)
    crowding = np.empty(len(values))
    for level in np.unique(rank):
        crowding[rank == level] = crowding_distance(values[rank == level])
    return rank, crowding


def survivors(rank: Indices, crowding: Values, count: int) -> Indices:
    """(≤ count,) the best by rank, then by crowding, then the earlier (Deb 2002 §III-C)."""
    return np.lexsort((-crowding, rank))[:count]


def non_dominated(values: Values, maximize: Sequence[bool] | Flags) -> Indices:
    """Ascending indices of the rows of (N, K) values that no row dominates; equal rows are all kept."""
    if not len(values):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(moocore.is_nondominated(values, maximise=list(maximize), keep_weakly=True))


def front_within(problem: Problem, values: Values, among: Flags | bool = True) -> Indices:
    """Ascending indices of (N, K) values within budget, of those ``among`` (N,), that none of these dominates."""
    within = np.flatnonzero((problem.excess(values) <= 0) & among)
    return within[non_dominated(values[within], problem.maximize)]


def hypervolume(values: Values, reference: Sequence[float] | Values, maximize: Sequence[bool] | Flags) -> float:
    """Volume that (N, K) values dominate above the reference point (K,) (Zitzler & Thiele 1998 §3).

    Its unit is the product of the objectives' units. A row that isn't better than the reference in every objective
    adds nothing.
    """
    if not len(values):
        return 0.0
    return float(moocore.hypervolume(values, ref=np.asarray(reference), maximise=list(maximize)))


def worst(values: Values, maximize: Sequence[bool] | Flags) -> Values:
    """(K,) the worst value of each objective in (N, K) values."""
    worst_values: Values = np.where(maximize, values.min(axis=0), values.max(axis=0))
    return worst_values
