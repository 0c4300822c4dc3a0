"""The steps that make new archs: select parents, cross, mutate, drop repeats, spread.

Each is a function of arrays and of one ``numpy.random.Generator``; strategies put them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.arrays import Archs, Indices, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.space.space import Space

_NEIGHBOURHOODS_AT_ONCE = 32


def tournament(rank: Indices, crowding: Values, count: int, rng: np.random.Generator) -> Indices:
    """(count,) winners of binary tournaments: the lower rank, then the larger crowding (Deb 2002 §III-C)."""
    first, second = rng.integers(0, len(rank), size=(2, count))
    wins = (rank[first] < rank[second]) | ((rank[first] == rank[second]) & (crowding[first] >= crowding[second]))
    winners: Indices = np.where(wins, first, second)
    return winners


def uniform_crossover(mothers: Archs, fathers: Archs, rate: float, rng: np.random.Generator) -> Archs:
    """(N, L) children. With probability ``rate`` a child takes each layer from either parent alike (Syswerda 1989
    §2); else it is its mother."""
    crossed = rng.random((len(mothers), 1)) < rate
    from_father = rng.random(mothers.shape) < 0.5
    return np.where(crossed & from_father, fathers, mothers)


def mutate(space: Space, archs: Archs, rate: float, rng: np.random.Generator) -> Archs:
    """(N, L) archs in which each layer, with probability ``rate``, has changed to another of its choices."""
    mutated = rng.random(archs.shape) < rate
    step = rng.integers(1, np.maximum(space.num_choices, 2), size=archs.shape)
    return np.where(mutated, (archs + step) % space.num_choices, archs)


def mutate_one(space: Space, archs: Archs, rng: np.random.Generator) -> Archs:
    """(N, L) archs in which one layer, any that has choices, has changed to another of them (Real 2019 §3.1)."""
    layers = np.flatnonzero(space.num_choices > 1)
    if not len(layers):
        return archs
    layer, row = rng.choice(layers, size=len(archs)), np.arange(len(archs))
    mutated = archs.copy()
    mutated[row, layer] = (archs[row, layer] + rng.integers(1, space.num_choices[layer])) % space.num_choices[layer]
    return mutated


class Seen:
    """The (N, L) archs that a strategy has proposed."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._order: dict[bytes, None] = {}  # a set that keeps its order, so that walking it is deterministic

    def add(self, archs: Archs) -> None:
        self._order.update(dict.fromkeys(_keys(archs)))

    def novel(self, archs: Archs) -> Archs:
        """Those of (N, L) archs that aren't remembered, each once, in their order."""
        rows = dict(zip(reversed(_keys(archs)), reversed(range(len(archs))), strict=True))
        return archs[sorted(row for key, row in rows.items() if key not in self._order)]

    def neighbours(self, region: FeasibleRegion, count: int, rng: np.random.Generator) -> Archs:
        """Up to ``count`` feasible archs one layer away from the remembered ones and not among them: (≤ count, L).

        Fewer are returned only when there are no more. Where there is none at all, others are, as far as the region can
        be listed. So none says that every feasible arch has been seen; but for a region too large to be listed, and cut
        into parts by its budgets, which single-layer changes don't lead across.
        """
        keys = list(self._order)
        order = rng.permutation(len(keys))
        found = np.empty((0, self._space.num_layers), dtype=np.int64)
        for start in range(0, len(order), _NEIGHBOURHOODS_AT_ONCE):
            block = [keys[index] for index in order[start : start + _NEIGHBOURHOODS_AT_ONCE]]
            centres = np.frombuffer(b"".join(block), dtype=np.int64).reshape(len(block), -1)
            near = self.novel(single_changes(self._space, centres))
            found = self.novel(np.concatenate([found, near[region.contains(near)]]))
            if len(found) >= count:
                break
        if keys and not len(found) and region.listed is not None:
            found = self.novel(region.listed)
        return rng.permutation(found)[:count]


def _keys(archs: Archs) -> list[bytes]:
    """The bytes of each of (N, L) archs; a view of them all is far faster than to convert them one by one."""
    rows: list[bytes] = np.ascontiguousarray(archs).view(f"V{archs.itemsize * archs.shape[1]}").ravel().tolist()
    return rows


def single_changes(space: Space, archs: Archs) -> Archs:
    """Every arch that differs from one of (N, L) archs in one layer; the archs themselves are among them."""
    blocks = []
    for layer, choices in enumerate(space.num_choices):
        block = np.repeat(archs, choices, axis=0)
        block[:, layer] = np.tile(np.arange(choices), len(archs))
        blocks.append(block)
    return np.concatenate(blocks)


def spread(points: Values, count: int, begun: Sequence[int] = (), others: Sequence[int] = ()) -> Indices:
    """Indices of ``count`` of (N, F) points, N ≥ count, that lie far apart after scaling each column to its range.

    Farthest-first traversal (Gonzalez 1985 §3), begun with the points ``begun``, which are among those returned, and
    away from ``others``, which can't be; or at the lowest point of the first column, where there are neither.
    """
    span = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(span > 0, span, 1)
    chosen = list(begun) if len(begun) or len(others) else [int(np.argmin(scaled[:, 0]))]
    distance = np.full(len(points), np.inf)

    def keep_off(point: int) -> None:
        apart = scaled - scaled[point]
        np.minimum(distance, np.einsum("nf,nf->n", apart, apart), out=distance)  # squared, which orders them alike
        distance[point] = -1  # never again, even where all points are equal

    for point in (*chosen, *others):
        keep_off(point)
    while len(chosen) < count:
        chosen.append(int(np.argmax(distance)))
        keep_off(chosen[-1])
    return np.array(chosen[:count], dtype=np.int64)
