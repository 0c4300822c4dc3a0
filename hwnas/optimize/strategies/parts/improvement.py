"""By how much points would improve a front: the hypervolume that each adds, for thousands of points at once.

Up to three objectives it is exact: the space that the front doesn't dominate is cut into boxes, and what a point adds
is what it covers of each. With more, boxes become too many, and hypervolume is estimated by looking from the reference
point in random directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from math import gamma, pi

import numpy as np

from hwnas.arrays import Values
from hwnas.optimize.pareto import non_dominated

_NUMBERS_AT_ONCE = 2**20
_MOST_CUT = 3
_DIRECTIONS = 128


class Gap(ABC):
    """What lies between a front and a reference point: the space in which a new point would be an improvement."""

    _parts: int
    """Numbers that each point is held against: so many points are taken at once that they fit into memory."""

    def gained(self, points: Values) -> Values:
        """(...,) hypervolume that each of (..., K) minimised points adds to the front."""
        flat = points.reshape(-1, points.shape[-1])
        gained = np.empty(len(flat))
        step = max(1, _NUMBERS_AT_ONCE // self._parts)
        for start in range(0, len(flat), step):
            gained[start : start + step] = self._gained(flat[start : start + step])
        return gained.reshape(points.shape[:-1])

    @abstractmethod
    def with_point(self, point: Values) -> Gap:
        """The gap once (K,) ``point`` has joined the front."""

    @abstractmethod
    def _gained(self, points: Values) -> Values: ...


def gap_of(front: Values, reference: Values, rng: np.random.Generator) -> Gap:
    """The gap between a front and a reference point.

    Args:
        front: (P, K) minimised values; dominated ones do no harm.
        reference: (K,) what hypervolume is measured from; values beyond it add nothing.
        rng: for directions, where it is estimated.
    """
    if len(reference) <= _MOST_CUT:
        return CutGap(front, reference)
    directions = np.abs(rng.standard_normal((_DIRECTIONS, len(reference))))
    return SightedGap(front, reference, directions)


class CutGap(Gap):
    """The gap in disjoint boxes: exact."""

    def __init__(self, front: Values, reference: Values) -> None:
        self._reference = reference
        inside = front[(front < reference).all(axis=1)]
        self._front = np.unique(inside[non_dominated(inside, [False] * len(reference))], axis=0)
        self._low, self._high = _boxes(self._front, reference)
        self._parts = self._low.size

    def _gained(self, points: Values) -> Values:
        covered = self._high - np.maximum(self._low, points[:, None])
        gained: Values = np.maximum(covered, 0).prod(axis=2).sum(axis=1)
        return gained

    def with_point(self, point: Values) -> CutGap:
        return CutGap(np.concatenate([self._front, point[None]]), self._reference)


class SightedGap(Gap):
    """The gap as seen from the reference point: in each direction, how far it is to where the front is left behind.

    A set's hypervolume is the mean, over directions that are uniform on the sphere, of that distance to the power of
    K, times the volume of the unit ball's positive part (Zhang & Golovin 2020, Lemma 5).

    Args:
        front, reference: as in :func:`gap_of`.
        directions: (D, K) positive, of any length.
    """

    def __init__(self, front: Values, reference: Values, directions: Values) -> None:
        self._reference, self._directions = reference, directions
        best = front.min(axis=0, initial=np.inf)
        self._span = np.where(best < reference, reference - np.minimum(best, reference), 1.0)
        self._unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        self._seen = self._reached(front).max(axis=0, initial=0.0)
        self._parts = self._unit.size

    def _gained(self, points: Values) -> Values:
        """An estimate without bias."""
        gained: Values = np.maximum(self._reached(points) - self._seen, 0).mean(axis=1)
        return gained

    def with_point(self, point: Values) -> SightedGap:
        joined = copy(self)
        joined._seen = np.maximum(self._seen, self._reached(point[None])[0])
        return joined

    def _reached(self, points: Values) -> Values:
        """(N, D) volume that (N, K) points reach in each direction, were it reached in all of them."""
        sides = len(self._reference)
        distance = (np.maximum(self._reference - points, 0) / self._span)[:, None] / self._unit
        ball = pi ** (sides / 2) / (2**sides * gamma(sides / 2 + 1))
        volume: Values = ball * self._span.prod() * distance.min(axis=2) ** sides
        return volume


def _boxes(front: Values, reference: Values) -> tuple[Values, Values]:
    """Low and high corners, (B, K) each, of boxes that are disjoint and together all that no point dominates.

    Slab by slab along the last objective: in each, the points below it dominate what they dominate in the others. From
    one slab to the next few boxes change, and those that don't are one box.
    """
    if len(reference) == 1:  # only what is better than the best is left
        return np.array([[-np.inf]]), front.min(axis=0, initial=reference[0], keepdims=True)
    if len(reference) == 2:
        return _steps(front, reference)
    last = front[:, -1]
    begun: dict[bytes, float] = {}
    boxes: list[tuple[bytes, float, float]] = []
    for bottom in (-np.inf, *np.unique(last).tolist()):
        here = dict.fromkeys(map(bytes, np.hstack(_boxes(front[last <= bottom, :-1], reference[:-1]))))
        boxes += [(box, begun.pop(box), bottom) for box in [*begun] if box not in here]
        begun |= {box: bottom for box in here if box not in begun}
    boxes += [(box, bottom, reference[-1]) for box, bottom in begun.items()]
    corners = np.frombuffer(b"".join(box for box, _, _ in boxes)).reshape(len(boxes), 2, -1)
    low, high = (np.array([box[end] for box in boxes]) for end in (1, 2))
    return np.column_stack([corners[:, 0], low]), np.column_stack([corners[:, 1], high])


def _steps(front: Values, reference: Values) -> tuple[Values, Values]:
    """:func:`_boxes` of two objectives: what lies to the left of a staircase, a box for each of its steps."""
    x, y = front[np.lexsort((front[:, 0], front[:, 1]))].T
    reached = np.minimum.accumulate(np.append(reference[0], x))
    further = reached[1:] < reached[:-1]
    edges = np.concatenate([[-np.inf], y[further], reference[1:]])
    right = np.append(reference[0], reached[1:][further])
    return np.column_stack([np.full(len(right), -np.inf), edges[:-1]]), np.column_stack([right, edges[1:]])
