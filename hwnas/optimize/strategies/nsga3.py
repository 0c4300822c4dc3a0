"""NSGA-III (Deb & Jain, IEEE Trans. Evol. Comput. 18(4), 2014), for four objectives and more.

There nearly nobody is dominated, and crowding distances say little. So those survive that lie nearest to directions
spread evenly over the objectives.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np

from hwnas.arrays import Indices, Values
from hwnas.optimize.pareto import constrained_rank
from hwnas.optimize.strategies.parts.genetic import Genetic

_OFF_AXIS = 1e6  # the achievement function's weight of all objectives but one: it seeks the end of that axis
_NO_RANGE = 1e-6  # as a share of the front's range: a plane that cuts an axis nearer to the ideal says nothing


class NSGA3(Genetic):
    """Survival along reference directions, of which there are as many as the population affords."""

    @cached_property
    def _niches(self) -> Niches:
        return Niches(reference_directions(len(self.problem.objectives), self.population))

    def survive(self, minimised: Values, excess: Values) -> tuple[Indices, Indices, Values]:
        """Survivors (Algorithm 1); between two within budget a tournament is a toss (Jain & Deb 2014 §III)."""
        rank, within = constrained_rank(minimised, excess), excess <= 0
        if within.any():
            self._niches.normalise(minimised[within], minimised[rank == 0])
        best = self._best(minimised, rank, within)
        return best, np.where(within, 0, rank)[best], np.zeros(len(best))

    def _best(self, minimised: Values, rank: Indices, within: np.typing.NDArray[np.bool_]) -> Indices:
        order = np.argsort(rank, kind="stable")
        if len(order) <= self.population or not within[order[self.population]]:
            return order[: self.population]
        cut = rank[order[self.population]]
        certain, last = order[rank[order] < cut], order[rank[order] == cut]
        wanted = self.population - len(certain)
        return np.concatenate(
            [certain, last[self._niches.choose(minimised[certain], minimised[last], wanted, self.rng)]]
        )


class Niches:
    """One niche around each direction, in values that are measured by the range of the front found so far.

    Args:
        directions: (H, K) vectors from the ideal point.

    Attributes:
        ideal: (K,) the lowest value of each objective so far.
        nadir: (K,) where the plane through the extreme points cuts the axes.
    """

    def __init__(self, directions: Values) -> None:
        objectives = directions.shape[1]
        self._directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        self._extremes = np.empty((0, objectives))
        self._worst = np.full(objectives, -np.inf)
        self.ideal, self.nadir = np.full(objectives, np.inf), np.full(objectives, np.inf)

    def normalise(self, values: Values, front: Values) -> None:
        """Take notice of (N, K) values within budget, of which (F, K) are the non-dominated ones (Algorithm 2).

        The achievement function compares objectives with each other, so each is first divided by the front's range:
        they come in all units. Where the extreme points make no plane, the front's worst values are the nadir.
        """
        self.ideal = np.minimum(self.ideal, values.min(axis=0))
        self._worst = np.maximum(self._worst, values.max(axis=0))
        span = _or_one(front.max(axis=0) - self.ideal)
        candidates = np.concatenate([self._extremes, front])
        scaled = (candidates - self.ideal) / span
        off_axis = np.where(np.eye(len(span), dtype=np.bool_), 1, _OFF_AXIS)
        best = np.argmin((scaled * off_axis[:, None]).max(axis=2), axis=1)
        self._extremes = candidates[best]
        cut = _intercepts(scaled[best])
        self.nadir = front.max(axis=0) if cut is None else np.minimum(self.ideal + cut * span, self._worst)

    def choose(self, certain: Values, last: Values, count: int, rng: np.random.Generator) -> Indices:
        """(count,) which of the (N, K) last go with the (M, K) certain ones (Algorithm 4).

        The emptiest niche that anyone of the last is in takes one of them, until there are enough: its nearest if it
        is empty, else any. So whoever stands at place p of a niche's queue, in which f are certain, is taken at level
        f + p, and within a level niches come in random order.
        """
        filled = np.bincount(self._nearest(certain)[0], minlength=len(self._directions))
        niche, distance = self._nearest(last)
        lot = rng.random(len(last))
        order = np.lexsort((distance, niche))
        nearest = order[np.unique(niche[order], return_index=True)[1]]  # of each niche
        lot[nearest[filled[niche[nearest]] == 0]] = -1
        queued = np.lexsort((lot, niche))
        place = np.arange(len(last)) - np.searchsorted(niche[queued], niche[queued])
        level = np.empty(len(last), dtype=np.int64)
        level[queued] = filled[niche[queued]] + place
        return np.lexsort((rng.random(len(last)), level))[:count]

    def _nearest(self, values: Values) -> tuple[Indices, Values]:
        """(N,) the direction that each of (N, K) values is nearest to, and (N,) how far off it is (Algorithm 3)."""
        scaled = (values - self.ideal) / _or_one(self.nadir - self.ideal)
        along = scaled @ self._directions.T
        off = np.linalg.norm(scaled[:, None] - along[..., None] * self._directions, axis=2)
        nearest = np.argmin(off, axis=1)
        return nearest, off[np.arange(len(off)), nearest]


def _or_one(span: Values) -> Values:
    """Where an objective is the same for all, anything divides its zeros."""
    return np.where(span > 0, span, 1)


def _intercepts(extremes: Values) -> Values | None:
    """(K,) where the plane through (K, K) points cuts the axes; None where they make no plane, or not such a one."""
    try:
        plane = np.linalg.solve(extremes, np.ones(len(extremes)))
    except np.linalg.LinAlgError:
        return None
    if not np.allclose(extremes @ plane, 1) or (plane <= 0).any() or (plane >= 1 / _NO_RANGE).any():
        return None
    intercepts: Values = 1 / plane
    return intercepts


def das_dennis(objectives: int, divisions: int) -> Values:
    """All (H, K) vectors of multiples of 1/divisions that add up to 1, H = C(K + divisions - 1, divisions).

    Without a division it is their centre alone.
    """
    if divisions == 0:
        return np.full((1, objectives), 1 / objectives)
    slots = divisions + objectives - 1  # any K - 1 of the slots are bars, which part the other slots into K groups
    ends = np.array([(-1, *bars, slots) for bars in combinations(range(slots), objectives - 1)])
    return (np.diff(ends, axis=1) - 1) / divisions


def reference_directions(objectives: int, at_most: int) -> Values:
    """(H, K) directions: H ≤ ``at_most`` as near as the scheme gets, but at least one direction per objective.

    With fewer divisions than objectives all of them lie on the boundary. Then a second layer, shrunk halfway to the
    centre, takes what is left of ``at_most`` (Deb & Jain 2014 §V).
    """
    outer = max(1, _most_divisions(objectives, at_most))
    directions = das_dennis(objectives, outer)
    left = at_most - len(directions)
    if outer >= objectives or left < 1:
        return directions
    inner = das_dennis(objectives, _most_divisions(objectives, left))
    return np.concatenate([directions, inner / 2 + 0.5 / objectives])


def _most_divisions(objectives: int, at_most: int) -> int:
    if objectives == 1:
        return 1  # there is one direction, however it is divided
    divisions = 0
    while comb(objectives + divisions, divisions + 1) <= at_most:
        divisions += 1
    return divisions
