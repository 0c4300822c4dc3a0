"""The regression against closed forms, against leaving out for real, and its intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.arrays import Values
from hwnas.errors import TableError
from hwnas.prediction.regression import MINIMUM_ENTRIES, LatencyRegression, _left_out


def _sizes(count: int, seed: int) -> tuple[Values, Values]:
    """Costs (a call, multiply-adds, elements) of random layers, and their coordinates."""
    channels, pixels = 2 ** np.random.default_rng(seed).uniform(3, 9, (2, count))
    return np.stack([np.ones(count), channels**2 * pixels, channels * pixels], axis=1), np.log2([channels, pixels]).T


@given(st.tuples(*[st.floats(0, 10)] * 3).filter(lambda weights: sum(weights) > 0.1), st.integers(0, 5))
def test_a_sum_of_costs_is_found(shares: tuple[float, ...], seed: int) -> None:
    costs, coordinates = _sizes(60, seed)
    weights = np.array(shares) / np.median(costs, axis=0)
    model = LatencyRegression.fit(costs[:40], coordinates[:40], costs[:40] @ weights)
    latency_ms, _ = model.predict(costs[40:], coordinates[40:])
    assert latency_ms == pytest.approx(costs[40:] @ weights, rel=0.01)


def test_what_costs_leave_over_is_learned_where_measured_and_forgotten_far_away() -> None:
    costs, coordinates = _sizes(200, 0)
    weights = np.array([0.01, 1e-6, 1e-5])
    bumpy_ms = (costs @ weights) * np.exp(0.3 * np.sin(coordinates[:, 0]))  # smooth, and no sum of costs
    model = LatencyRegression.fit(costs[:150], coordinates[:150], bumpy_ms[:150])
    latency_ms, error_90 = model.predict(costs[150:], coordinates[150:])
    base = np.abs(costs[150:] @ model.weights / bumpy_ms[150:] - 1)
    assert np.median(np.abs(latency_ms / bumpy_ms[150:] - 1)) < np.median(base) / 5
    far_ms, far_error_90 = model.predict(costs[150:], coordinates[150:] + 1000)
    assert far_ms == pytest.approx(costs[150:] @ model.weights)
    assert far_error_90.min() > error_90.max()


def test_of_many_measurements_each_counts() -> None:
    costs, coordinates = _sizes(700, 3)
    bumpy_ms = (costs @ [0.01, 1e-6, 1e-5]) * np.exp(0.3 * np.sin(3 * coordinates[:, 0]))
    latency_ms, _ = LatencyRegression.fit(costs, coordinates, bumpy_ms).predict(costs, coordinates)
    assert np.abs(latency_ms / bumpy_ms - 1).max() < 0.05
    fewer = LatencyRegression.fit(costs[::10], coordinates[::10], bumpy_ms[::10]).predict(costs, coordinates)[0]
    assert np.median(np.abs(latency_ms / bumpy_ms - 1)) < np.median(np.abs(fewer / bumpy_ms - 1)) / 3


def test_intervals_hold_what_they_promise() -> None:
    rng = np.random.default_rng(1)
    costs, coordinates = _sizes(1100, 2)
    true_ms = (costs @ [0.01, 1e-6, 1e-5]) * np.exp(0.2 * np.sin(coordinates[:, 0]) + 0.05 * rng.standard_normal(1100))
    model = LatencyRegression.fit(costs[:100], coordinates[:100], true_ms[:100])
    latency_ms, error_90 = model.predict(costs[100:], coordinates[100:])
    assert 0.85 < np.mean(np.abs(true_ms[100:] / latency_ms - 1) <= error_90) < 0.97
    assert np.median(error_90) == pytest.approx(1.645 * 0.05, rel=0.4)


@given(st.integers(0, 50))
def test_leaving_out_in_closed_form_is_leaving_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, residuals = rng.uniform(0, 3, (12, 2)), rng.standard_normal(12)
    covariance = np.exp(-np.linalg.norm(points[:, None] - points[None], axis=2)) + 0.1 * np.eye(12)
    folds = [np.arange(0, 5), np.arange(5, 6), np.arange(6, 12)]
    standardised, log_variances = [], []
    for fold in folds:
        rest = np.setdiff1d(np.arange(12), fold)
        gain = covariance[np.ix_(fold, rest)] @ np.linalg.inv(covariance[np.ix_(rest, rest)])
        variances = np.diag(covariance[np.ix_(fold, fold)] - gain @ covariance[np.ix_(rest, fold)])
        standardised += list((residuals[fold] - gain @ residuals[rest]) ** 2 / variances)
        log_variances += list(np.log(variances))
    density, variance = _left_out(np.linalg.inv(covariance), residuals, folds)
    assert variance == pytest.approx(np.mean(standardised))
    assert density == pytest.approx(-0.5 * (np.log(variance) + np.mean(log_variances) + 1))


def test_groups_widen_the_interval_when_groups_differ() -> None:
    """Rows of a group are alike and groups are not: one by one, each row is foretold by its own group."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), 6)
    coordinates = rng.uniform(0, 8, (12, 2))[groups] + 0.01 * rng.standard_normal((72, 2))
    latency_ms = np.exp(0.3 * rng.standard_normal(12)[groups] + 0.01 * rng.standard_normal(72))
    costs = np.ones((72, 1))
    new = np.array([[4.0, 4.0]])
    alone = LatencyRegression.fit(costs, coordinates, latency_ms).predict(costs[:1], new)[1]
    grouped = LatencyRegression.fit(costs, coordinates, latency_ms, groups=groups).predict(costs[:1], new)[1]
    assert grouped > alone
    assert grouped > 0.3


@given(st.integers(0, 30), st.floats(1.01, 100))
def test_more_of_any_cost_takes_longer_and_nothing_is_free(seed: int, factor: float) -> None:
    costs, coordinates = _sizes(20, seed)
    latency_ms = np.random.default_rng(seed).uniform(0.1, 10, 20)  # noise: weights fall to their bound
    model = LatencyRegression.fit(costs, coordinates, latency_ms)
    plain_ms = model.predict(costs, coordinates)[0]
    assert (plain_ms > 0).all()
    for column in range(3):
        more = costs.copy()
        more[:, column] *= factor
        assert (model.predict(more, coordinates)[0] > plain_ms).all()


@pytest.mark.parametrize("count", range(MINIMUM_ENTRIES))
def test_too_few(count: int) -> None:
    with pytest.raises(TableError, match=f"{count} measurements, a model needs {MINIMUM_ENTRIES}"):
        LatencyRegression.fit(np.ones((count, 1)), np.ones((count, 1)), np.ones(count))


def test_three_equal_measurements_are_enough() -> None:
    model = LatencyRegression.fit(np.ones((3, 2)), np.zeros((3, 4)), np.full(3, 0.7))
    latency_ms, error_90 = model.predict(np.ones((1, 2)), np.zeros((1, 4)))
    assert latency_ms == pytest.approx(0.7, rel=1e-3)
    assert 0.01 < error_90[0] < 0.1  # no timer repeats itself exactly, even if these did
