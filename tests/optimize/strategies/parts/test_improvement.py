"""What a point adds to a front: against the difference of two hypervolumes by moocore, from one objective to five."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwnas.arrays import Values
from hwnas.optimize.strategies.parts.improvement import CutGap, SightedGap, gap_of


def _added(front: Values, points: Values, reference: Values) -> Values:
    def volume(values: Values) -> float:
        return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0

    return np.array([volume(np.vstack([front, point])) - volume(front) for point in points])


@settings(deadline=None, max_examples=60)
@given(data=st.data(), objectives=st.integers(1, 4), count=st.integers(0, 9))
def test_the_cut_gap_is_exact(data: st.DataObject, objectives: int, count: int) -> None:
    """On a coarse grid, where values are often equal, and some points lie beyond the reference."""
    values = st.integers(0, 6).map(float)
    front = data.draw(arrays(np.float64, (count, objectives), elements=values))
    points = data.draw(arrays(np.float64, (5, objectives), elements=values))
    reference = np.full(objectives, 5.0)
    gap = CutGap(front, reference)
    np.testing.assert_allclose(gap.gained(points), _added(front, points, reference), atol=1e-9)
    joined = np.vstack([front, points[:1]])
    np.testing.assert_allclose(gap.with_point(points[0]).gained(points), _added(joined, points, reference), atol=1e-9)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_the_sighted_gap_estimates_it_without_bias(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front, points = 0.3 + rng.random((12, objectives)), rng.random((6, objectives)) * 0.8
    span = 10.0 ** np.arange(objectives)  # units don't matter
    reference = np.full(objectives, 1.1)
    directions = np.abs(rng.standard_normal((200_000, objectives)))
    gap = SightedGap(front * span, reference * span, directions)
    expected = _added(front, points, reference)
    assert (expected > 0).sum() >= 3
    tolerance = 0.02 * expected + 0.002
    assert (np.abs(gap.gained(points * span) / span.prod() - expected) <= tolerance).all()
    after = gap.with_point(points[0] * span).gained(points * span) / span.prod()
    expected = _added(np.vstack([front, points[:1]]), points, reference)
    assert (np.abs(after - expected) <= 0.02 * expected + 0.002).all()


@pytest.mark.parametrize("objectives", [2, 4])
def test_without_a_front_everything_is_gained_and_beyond_the_reference_nothing(objectives: int) -> None:
    gap = gap_of(np.empty((0, objectives)), np.ones(objectives), np.random.default_rng(0))
    points = np.array([[0.5] * objectives, [1.0] + [0.0] * (objectives - 1), [np.inf] * objectives])
    gained = gap.gained(points)
    assert gained[0] == pytest.approx(0.5**objectives, rel=0.2)  # an estimate from four objectives on
    assert gained[1:].tolist() == [0, 0]


def test_shapes_are_kept() -> None:
    points = np.random.default_rng(0).random((3, 8, 2))
    gap = gap_of(np.array([[0.5, 0.5]]), np.ones(2), np.random.default_rng(0))
    assert gap.gained(points).shape == (3, 8)
    assert gap.gained(points)[1, 2] == gap.gained(points[1, 2])
