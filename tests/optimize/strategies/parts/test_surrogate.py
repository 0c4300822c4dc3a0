"""The model behind the guided strategy: its closed forms against refitting, and what it knows of a real space."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, multivariate_normal, norm

from hwnas.optimize.problem import Problem
from hwnas.optimize.strategies.parts import surrogate
from hwnas.optimize.strategies.parts.surrogate import Features, Surrogate
from tests.optimize.problems import ALL_MACRO, MACRO, quality_cost_objectives

_PROBABILITIES = (np.arange(8) + 0.5) / 8


def test_leaving_out_agrees_with_conditioning_on_all_others() -> None:
    """The closed form up to a constant, against the conditional of a multivariate normal, one value at a time."""
    rng = np.random.default_rng(0)
    found, expected = [], []
    for _ in range(5):
        root = rng.standard_normal((9, 9))
        covariance, targets = root @ root.T + 0.1 * np.eye(9), rng.standard_normal(9)
        errors, variances = [], []
        for left in range(9):
            others = np.delete(np.arange(9), left)
            weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, left])
            errors.append(targets[left] - weights @ targets[others])
            variances.append(covariance[left, left] - weights @ covariance[others, left])
        scale = np.mean(np.square(errors) / variances)
        expected.append(norm.logpdf(errors, scale=np.sqrt(scale * np.array(variances))).sum())
        found.append(surrogate._left_out(covariance, targets))
    difference = np.array(expected) - found
    np.testing.assert_allclose(difference, difference[0])


def test_quantiles_are_those_of_the_conditional_normal() -> None:
    """Against conditioning the joint normal of known and unknown archs, as scipy would draw from it."""
    rng = np.random.default_rng(1)
    problem = Problem(MACRO, tuple(quality_cost_objectives(0)))
    archs, quality = MACRO.sample(30, 2), problem.objectives[0]
    model = Surrogate(Features(problem), archs, quality.values(archs))
    unknown = MACRO.sample(4, 3)
    both = np.concatenate([archs, unknown])
    features = Features(problem)(both)
    kernel = model._kernel
    differing = (both[:, None] != both[None]).sum(axis=2)
    joint = np.exp(-kernel.decay * differing) + kernel.slope * features @ features.T
    joint[:30, :30] += kernel.noise * np.eye(30)
    warped = -np.log(model._ceiling - quality.values(archs))
    targets = (warped - warped.mean()) / warped.std()
    inverse = np.linalg.inv(joint[:30, :30])
    mean = joint[30:, :30] @ inverse @ targets
    spread = targets @ inverse @ targets / 30 * (joint[30:, 30:] - joint[30:, :30] @ inverse @ joint[:30, 30:])
    drawn = multivariate_normal(mean, spread, allow_singular=True).rvs(20_000, random_state=rng)
    values = model._ceiling - np.exp(-(drawn * warped.std() + warped.mean()))
    expected = np.quantile(values, _PROBABILITIES, axis=0).T
    np.testing.assert_allclose(model.quantiles(unknown, _PROBABILITIES), expected, atol=0.03 * np.ptp(expected))


@pytest.mark.parametrize("seed", range(3))
def test_it_orders_archs_it_has_not_seen_and_knows_how_well(seed: int) -> None:
    problem = Problem(MACRO, tuple(quality_cost_objectives(seed)))
    quality = problem.objectives[0]
    archs = MACRO.sample(100, seed)
    model = Surrogate(Features(problem), archs, quality.values(archs))
    others = ALL_MACRO[np.random.default_rng(seed).permutation(len(ALL_MACRO))[:1000]]
    low, middle, high = model.quantiles(others, [0.05, 0.5, 0.95]).T
    true = quality.values(others)
    assert kendalltau(middle, true).statistic > 0.9
    assert 0.8 <= ((low <= true) & (true <= high)).mean() <= 1
    assert np.mean(high - low) < 0.2 * np.ptp(true)


def test_values_that_are_all_equal_are_expected_again() -> None:
    problem = Problem(MACRO, tuple(quality_cost_objectives(0)))
    model = Surrogate(Features(problem), MACRO.sample(5, 0), np.full(5, 3.25))
    np.testing.assert_allclose(model.quantiles(MACRO.sample(10, 1), _PROBABILITIES), 3.25, atol=1e-6)


def test_with_many_archs_the_kernel_is_chosen_on_some_and_fitted_on_all() -> None:
    problem = Problem(MACRO, tuple(quality_cost_objectives(0)))
    quality, archs = problem.objectives[0], np.unique(MACRO.sample(400, 0), axis=0)
    model = Surrogate(Features(problem), archs, quality.values(archs))
    error = np.abs(model.quantiles(archs, [0.5])[:, 0] - quality.values(archs))
    assert error.max() < 0.05 * np.ptp(quality.values(archs))
