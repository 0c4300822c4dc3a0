from __future__ import annotations

import numpy as np
import pytest

from hwnas.ranking.compare import additive_fit
from hwnas.space.registry import get_space


def test_a_sum_over_layers_is_found_under_noise() -> None:
    space, rng = get_space("macro"), np.random.default_rng(0)
    archs = space.sample(200, 1)
    terms = rng.normal(size=(8, 3))
    truth = terms[np.arange(8), archs].sum(axis=1)
    noisy = truth + rng.normal(scale=truth.std(), size=200)
    fitted = additive_fit(space, archs, noisy)
    assert np.corrcoef(fitted, truth)[0, 1] > 0.9 > 0.8 > np.corrcoef(noisy, truth)[0, 1]
    exact = additive_fit(space, archs, truth)
    np.testing.assert_allclose(exact, truth, atol=0.01 * truth.std())


def test_it_is_ordinary_least_squares_where_there_is_little_noise() -> None:
    space, rng = get_space("macro"), np.random.default_rng(2)
    archs = space.sample(300, 3)
    scores = rng.normal(size=(8, 3))[np.arange(8), archs].sum(axis=1) + 0.05 * rng.normal(size=300)
    features = np.concatenate([np.eye(3)[archs[:, layer]] for layer in range(8)], axis=1)
    expected = features @ np.linalg.lstsq(features, scores, rcond=None)[0]
    np.testing.assert_allclose(additive_fit(space, archs, scores), expected, atol=0.01)


def test_more_choices_than_archs_and_equal_scores() -> None:
    space = get_space("scarlet-s2")  # 241 choices
    archs = space.sample(50, 0)
    scores = np.random.default_rng(0).normal(size=50)
    assert np.isfinite(additive_fit(space, archs, scores)).all()
    assert additive_fit(space, archs, np.full(50, 0.5)) == pytest.approx(np.full(50, 0.5))
