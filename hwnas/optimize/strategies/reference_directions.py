"""Directions that spread evenly over the objectives (Das & Dennis 1998; Deb & Jain 2014 §IV-B and §V)."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from hwnas.arrays import Values


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
