"""The grid against enumeration: what it counts, lists, draws and finds, at any resolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hwnas.arrays import Archs
from hwnas.graph.graph import Op
from hwnas.ops.mbconv import MBConv
from hwnas.optimize.feasible.grid import Grid, walk_of
from hwnas.prediction.costs import LayerSum, madds, params
from hwnas.space.registry import get_space
from tests.optimize.sums import ALL_SMALL, SMALL, random_sum

_seeds = st.integers(0, 2**32 - 1)
_kinds = st.sampled_from(["real", "tenths", "whole"])
_cells = st.sampled_from([3, 40, 2**12, 2**16])


def _grid(cells: int, *limited: tuple[LayerSum, float]) -> Grid:
    steps = [fn.steps for fn, _ in limited]
    return Grid(SMALL, walk_of(SMALL, steps), steps, [limit for _, limit in limited], cells)


def _as_set(archs: Archs) -> set[tuple[int, ...]]:
    return set(map(tuple, archs.tolist()))


@settings(deadline=None, max_examples=60)
@given(_seeds, _kinds, st.booleans(), _cells, st.integers(0, len(ALL_SMALL) - 1), st.sampled_from([1, 1.003, 1.4]))
def test_one_limit(seed: int, kind: str, stabilizers: bool, cells: int, tight: int, looser: float) -> None:
    """Limits that archs meet exactly are among them, the least and the largest value as well."""
    fn = random_sum(seed, kind=kind, stabilizers=stabilizers)
    values = fn(ALL_SMALL)
    limit = float(np.sort(values)[tight]) * looser
    within = _as_set(ALL_SMALL[values <= limit])
    grid = _grid(cells, (fn, limit))
    everything, doubtful = grid.members(doubtful=False), grid.members(doubtful=True)
    assert len(everything) == len(_as_set(everything)) == grid.size
    assert len(doubtful) == len(_as_set(doubtful)) == grid.size - grid.certain
    assert within <= _as_set(everything)
    assert _as_set(everything) - _as_set(doubtful) <= within
    if kind == "whole" and cells > 3:  # else too few to be exact
        assert grid.size == grid.certain == len(within)
    # What the discretisation error is: an arch over the limit is over it by less than a cell for each layer.
    slack = limit - values.min()
    allowed = max(5 * slack / cells, 1e-9) * (1 + 1e-6)
    assert (fn(everything) <= limit + allowed).all()


@settings(deadline=None, max_examples=40)
@given(_seeds, _kinds, _cells, st.integers(0, len(ALL_SMALL) - 1))
def test_two_limits(seed: int, kind: str, cells: int, arch: int) -> None:
    one, two = random_sum(seed, kind=kind), random_sum(seed + 1, kind=kind, stabilizers=False)
    limits = [float(fn(ALL_SMALL[arch])[0]) for fn in (one, two)]
    within = _as_set(ALL_SMALL[(one(ALL_SMALL) <= limits[0]) & (two(ALL_SMALL) <= limits[1])])
    grid = _grid(cells, (one, limits[0]), (two, limits[1]))
    everything, doubtful = grid.members(doubtful=False), grid.members(doubtful=True)
    assert len(everything) == grid.size
    assert len(doubtful) == grid.size - grid.certain
    assert within <= _as_set(everything)
    assert _as_set(everything) - _as_set(doubtful) <= within


def test_all_archs_are_within_no_limit_and_within_one_that_is_met_by_all() -> None:
    fn = random_sum(0)
    for grid in (_grid(100), _grid(100, (fn, float(fn(ALL_SMALL).max()) * 1.01))):
        assert grid.size == grid.certain == SMALL.size
        assert _as_set(grid.members(doubtful=False)) == _as_set(ALL_SMALL)
        assert len(grid.members(doubtful=True)) == 0


@pytest.mark.parametrize("limit", [40, 90, 141, 700])
def test_counts_beyond_64_bits_are_exact(limit: int) -> None:
    """Against products of polynomials in Python's integers."""
    space = get_space("scarlet-s2")

    def cost(op: Op) -> float:
        return op.kernel + 2 * op.expansion + op.se if isinstance(op, MBConv) else 0

    fn = LayerSum(space, cost)
    ways = {0: 1}
    for costs in fn.steps.costs[:, :, 0]:
        longer: dict[int, int] = {}
        for total, count in ways.items():
            for choice in costs[~np.isnan(costs)]:
                longer[total + int(choice)] = longer.get(total + int(choice), 0) + count
        ways = longer
    grid = Grid(space, fn.steps.states, [fn.steps], [max(limit, min(ways))])
    expected = sum(count for total, count in ways.items() if total <= max(limit, min(ways)))
    assert grid.size == grid.certain == expected
    assert limit < 700 or expected == space.size > 2**64


def test_two_sums_of_integers_share_a_grid_of_bounded_size() -> None:
    """Each alone would be exact with some ten thousand cells; together that would be billions."""
    space = get_space("scarlet-s2")
    sums = [madds(space), params(space)]
    least = [sum(np.nanmin(fn.steps.costs[:, :, 0], axis=1)) + fn.steps.end[0] for fn in sums]
    limits = [least[0] + 96 * 60_000, least[1] + 2 * 60_000]
    for fn, limit in zip(sums, limits, strict=True):
        alone = Grid(space, fn.steps.states, [fn.steps], [limit])
        assert alone.size == alone.certain > 1
    together = Grid(space, sums[0].steps.states, [fn.steps for fn in sums], limits)
    assert together.certain <= together.size <= alone.size


@pytest.mark.parametrize("limits", [1, 2])
def test_draws_are_uniform(limits: int) -> None:
    fns = [random_sum(seed) for seed in range(limits)]
    grid = _grid(2**10, *((fn, float(np.quantile(fn(ALL_SMALL), 0.03 if limits == 1 else 0.15))) for fn in fns))
    everything = grid.members(doubtful=False)
    assert 50 < len(everything) < 150
    drawn = grid.draw(100 * len(everything), np.random.default_rng(0))
    counts = (drawn[:, None] == everything).all(axis=2).sum(axis=0)
    assert counts.sum() == len(drawn)
    assert chisquare(counts).pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(_seeds, _kinds, _cells, st.integers(0, len(ALL_SMALL) - 1), st.booleans())
def test_the_least_of_another_sum(seed: int, kind: str, cells: int, arch: int, most: bool) -> None:
    limited, other = random_sum(seed, kind=kind), random_sum(seed + 1, kind=kind)
    limit = float(limited(ALL_SMALL[arch])[0])
    sign = -1 if most else 1
    values = sign * other(ALL_SMALL)
    truth = values[limited(ALL_SMALL) <= limit].min()
    bound, near = _grid(cells, (limited, limit)).least(other.steps.times(sign))
    assert bound <= truth + 1e-9
    reached = sign * other(near)
    assert reached[0] == pytest.approx(bound)
    within = limited(near) <= limit
    if within.any():
        assert reached[within].min() >= truth - 1e-9
    if cells == 2**16 and kind == "real":
        assert reached[within].min() == pytest.approx(truth, rel=1e-2)
    _, (free,) = Grid(SMALL, other.steps.states, [], []).least(other.steps.times(sign))
    assert (sign * other(free))[0] == pytest.approx(values.min())
