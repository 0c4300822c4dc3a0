"""Sums within limits, as a dynamic program over layers on a grid of costs.

A sum is written as its least value plus what each choice costs beyond the best that can follow it (the reduced costs of
shortest paths, Johnson 1977 §2), so that the grid spans just the slack between the least value and the limit. Reduced
costs are rounded down to whole cells. Hence every arch within the limits is on the grid, and the few on it that aren't
within lie less than a cell per layer above the limit. That is the discretisation error. There is none where all costs
are integers and the slack is few enough of their common divisor.

Where several sums are limited, the cells have that many dimensions, and the states are those of the sum that has most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod
from types import EllipsisType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Flags, Indices, Values
from hwnas.space.space import Space
from hwnas.space.transitions import Steps

CELLS = 2**16
_EXACT = 4  # times as many cells are taken where that leaves no error
_ROUNDING = 1e-12  # of the largest possible sum: above what its additions can round off
TOO_MANY = 10**28  # to be told to the last one: float64 knows too few digits of it

_Number = TypeVar("_Number", np.float64, np.uint64)
_Part = tuple[int | slice | EllipsisType, ...]


class Grid:
    """The archs whose sums are within limits, but for the discretisation error; all archs where none is limited.

    Args:
        space: whose archs.
        states: (L, C, S) of the walk: see :func:`walk_of`.
        sums: D of them, lowered onto the space.
        limits: (D,) each above the sum's least value.
        cells: into how many the slacks are divided, all dimensions together.
        allowed: (L, C, S) which steps of the walk may be taken; all, when None.

    Attributes:
        num_sums: D.
        size: how many archs are on the grid (exact below 10²⁸).
        certain: how many of them are within the limits for certain, without being looked at; at least so many are.
    """

    def __init__(
        self,
        space: Space,
        states: Indices,
        sums: Sequence[Steps],
        limits: Sequence[float],
        cells: int = CELLS,
        allowed: Flags | None = None,
    ) -> None:
        exists = np.arange(states.shape[1]) < space.num_choices[:, None]
        self._states = states
        self.num_sums = len(sums)
        per_axis, exact = (round(count ** (1 / max(1, len(sums)))) for count in (cells, _EXACT * cells))
        axes = [_Axis(steps, limit, per_axis, exact) for steps, limit in zip(sums, limits, strict=True)]
        self._last = np.array([axis.last for axis in axes], dtype=np.int64)
        self._doubt = np.array([axis.doubt for axis in axes], dtype=np.int64)
        self._cells = np.zeros((*self._states.shape, len(axes)), dtype=np.int64)
        for dimension, axis in enumerate(axes):
            self._cells[..., dimension] = axis.cells
        self._open = exists[:, :, None] & (self._cells >= 0).all(axis=3) & (True if allowed is None else allowed)
        self._shape = tuple((self._last + 1).tolist())
        self._strides = np.array([prod(self._shape[d + 1 :]) for d in range(len(axes))], dtype=np.int64)

    @cached_property
    def size(self) -> int:
        return self._whole(self._last)

    @cached_property
    def certain(self) -> int:
        sure = self._last - self._doubt
        return self._whole(sure) if (sure >= 0).all() else 0

    def draw(self, count: int, rng: np.random.Generator) -> Archs:
        """(count, L) archs, uniform over the grid, with replacement; the grid must not be empty."""
        archs = np.empty((count, len(self._open)), dtype=np.int64)
        state, left = np.zeros(count, dtype=np.intp), np.tile(self._last, (count, 1))
        for layer in reversed(range(len(archs.T))):
            behind, rest, fits, cell = self._options(layer, state, left)
            cumulated = np.where(fits, self._ways[layer].take(cell), 0).cumsum(axis=0)
            chosen = (cumulated <= rng.random(count) * cumulated[-1]).sum(axis=0)
            archs[:, layer] = chosen
            state, left = behind[chosen, np.arange(count)], rest[chosen, np.arange(count)]
        return archs

    def members(self, *, doubtful: bool) -> Archs:
        """All archs on the grid (size, L), or only those that aren't certain to be within the limits."""
        archs = np.zeros((1, len(self._open)), dtype=np.int64)
        state, left = np.zeros(1, dtype=np.intp), self._last[None]
        remainders = list(self._count(np.uint64))  # differences of large counts, which float64 would round away
        for layer in reversed(range(len(archs.T))):
            behind, rest, fits, cell = self._options(layer, state, left)
            ways = np.where(fits, remainders[layer].take(cell), 0)
            if doubtful:
                sure = fits & (rest >= self._doubt).all(axis=2)
                beyond = remainders[layer].take(cell - sure * (self._doubt @ self._strides))
                ways -= np.where(sure, beyond, 0)
            chosen, row = np.nonzero(ways)
            archs = archs[row]
            archs[:, layer] = chosen
            state, left = behind[chosen, row], rest[chosen, row]
        return archs

    def least(self, steps: Steps) -> tuple[float, Archs]:
        """The least value of another sum on the grid, below which no arch within the limits goes, and who comes near.

        Returns:
            The bound; infinite where the grid is empty.
            (M, L) the archs of least value for each way to shift the limits by up to the discretisation error; the last
            is within them for certain, unless none is.
        """
        costs = np.where(np.isfinite(steps.costs), steps.costs, np.inf)
        values = [np.empty((self._states.shape[2], *self._shape))]
        values[0].T[...] = steps.end
        for layer, is_open in enumerate(self._open):
            behind = np.full_like(values[-1], np.inf)
            for choice, state in np.argwhere(is_open & np.isfinite(costs[layer])):
                target, source = self._shifted(layer, choice, state)
                cost = costs[layer, choice, state % costs.shape[2]]
                np.minimum(behind[target], values[-1][source] + cost, out=behind[target])
            values.append(behind)
        left = self._last - np.array(list(np.ndindex(*np.minimum(self._doubt, self._last) + 1)), dtype=np.int64)
        reached = values[-1][0].take(left @ self._strides)
        left = left[np.isfinite(reached)]
        archs = np.empty((len(left), len(self._open)), dtype=np.int64)
        state = np.zeros(len(left), dtype=np.intp)
        for layer in reversed(range(len(self._open))):
            behind, rest, fits, cell = self._options(layer, state, left)
            totals = costs[layer][:, state % costs.shape[2]] + values[layer].take(cell)
            chosen = np.where(fits, totals, np.inf).argmin(axis=0)
            archs[:, layer] = chosen
            state, left = behind[chosen, np.arange(len(left))], rest[chosen, np.arange(len(left))]
        return float(reached[0]), archs

    def _options(self, layer: int, state: Indices, left: Indices) -> tuple[Indices, Indices, Flags, Indices]:
        """For each choice of a layer and each of N walks: its next state (C, N), the cells then left (C, N, D), whether
        it fits (C, N), and where the tables of the layers in front have its entry (C, N)."""
        behind = self._states[layer][:, state]
        rest = left - self._cells[layer][:, state]
        fits = self._open[layer][:, state] & (rest >= 0).all(axis=2)
        cell = behind * prod(self._shape) + rest @ self._strides
        return behind, rest, fits, np.where(fits, cell, 0)

    @cached_property
    def _ways(self) -> list[Values]:
        """For each layer, (S, cells left…): how many archs of the layers in front of it fit."""
        return list(self._count(np.float64))

    @cached_property
    def _remainders(self) -> npt.NDArray[np.uint64]:
        """The last of these counts modulo 2⁶⁴; all of them would be as much memory again."""
        *_, last = self._count(np.uint64)
        return last

    def _whole(self, cells: Indices) -> int:
        """How many archs there are with (D,) cells left: float64 has the first digits, unsigned integers the last."""
        near, remainder = (int(table[(0, *cells)]) for table in (self._ways[-1], self._remainders))
        if near >= TOO_MANY:
            return near
        return near + (remainder - near + 2**63) % 2**64 - 2**63

    def _count(self, dtype: type[_Number]) -> Iterator[npt.NDArray[_Number]]:
        ways = np.ones((self._states.shape[2], *self._shape), dtype)
        yield ways
        for layer, is_open in enumerate(self._open):
            behind = np.zeros_like(ways)
            for choice, state in np.argwhere(is_open):
                target, source = self._shifted(layer, choice, state)
                behind[target] += ways[source]
            ways = behind
            yield ways

    def _shifted(self, layer: int, choice: int, state: int) -> tuple[_Part, _Part]:
        """Where a choice's entries lie in the table of what is in front of a layer, and in that of the next one."""
        shift: list[int] = self._cells[layer, choice, state].tolist()
        target = [slice(cells, None) for cells in shift]
        source = [slice(0, size - cells) for size, cells in zip(self._shape, shift, strict=True)]
        return (state, *target, ...), (int(self._states[layer, choice, state]), *source, ...)


class _Axis:
    """The cells of one sum: ``cells`` (L, C, S), -1 where a choice can't be within the limit; the ``last`` cell that
    is on the grid; and the last ``doubt`` cells of these may be over the limit."""

    def __init__(self, steps: Steps, limit: float, cells: int, exact_cells: int) -> None:
        least, reduced, scale = reduce(steps)
        is_possible = np.isfinite(reduced)
        possible = reduced[is_possible]
        slack = limit - least
        most = -reduce(steps.times(-1))[0] - least
        whole = (possible == np.rint(possible)).all() and least == np.rint(least) and scale < 2**53
        divisor = float(np.gcd.reduce(possible.astype(np.int64))) if whole and possible.any() else 0.0
        if divisor and min(slack, most) // divisor <= exact_cells:
            unit, self.last, self.doubt = divisor, int(min(slack, most) // divisor), 0
        elif most <= slack - _ROUNDING * scale:
            unit, self.last, self.doubt = np.inf, 0, 0
        else:
            margin = _ROUNDING * scale
            unit, self.last = (slack + margin) / cells, cells
            self.doubt = len(reduced) + int(np.ceil(2 * margin / unit))
        in_cells = np.full(reduced.shape, -1.0)
        np.floor_divide(reduced, unit, where=is_possible, out=in_cells)
        self.cells = np.where(in_cells <= self.last, in_cells, -1).astype(np.int64)


def walk_of(space: Space, sums: Sequence[Steps]) -> Indices:
    """(L, C, S) states of the sum that has most of them, which are those of the others as well."""
    return max(
        (steps.states for steps in sums),
        key=lambda states: states.shape[2],
        default=np.zeros((space.num_layers, int(space.num_choices.max()), 1), dtype=np.intp),
    )


def reduce(steps: Steps) -> tuple[float, Values, float]:
    """A sum's least value, what each choice costs beyond the best that can follow it (L, C, S; not finite where a
    choice isn't possible), and a bound on the size of all numbers that were added up."""
    costs = np.where(np.isfinite(steps.costs), steps.costs, np.inf)
    reduced, ahead = np.empty_like(costs), steps.end
    scale = np.abs(steps.end).max() + np.abs(steps.costs).max(axis=(1, 2), where=np.isfinite(costs), initial=0).sum()
    for layer, cost in enumerate(costs):
        totals = cost + ahead[steps.states[layer]]
        ahead = totals.min(axis=0)
        reduced[layer] = totals - ahead
    return float(ahead[0]), reduced, float(scale)


def extreme_maximum(steps: Steps, sign: int) -> Archs:
    """The arch (L,) whose largest step is the least, or with a ``sign`` of -1 the greatest."""
    ahead, totals = steps.end, []
    for costs, states in zip(steps.costs, steps.states, strict=True):
        totals.append(np.where(np.isfinite(costs), np.maximum(costs, ahead[states]), sign * np.inf))
        ahead = sign * (sign * totals[-1]).min(axis=0)
    arch, state = np.empty(len(totals), dtype=np.int64), 0
    for layer in reversed(range(len(totals))):
        arch[layer] = (sign * totals[layer][:, state]).argmin()
        state = steps.states[layer, arch[layer], state]
    return arch
