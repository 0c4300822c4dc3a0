"""The interval of an accuracy: published ones, and the test that it is the inverse of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import ConfigError
from hwnas.evaluation.interval import plus_minus, wilson


def test_an_accuracy_lies_within_its_interval() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for right, images, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson(right / images, images) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(28 / 29, 29)[1] < 1
    assert wilson(1.0, 10) == (pytest.approx(10 / (10 + 1.959964**2)), 1.0)  # which isn't certainty
    for share, count, confidence in [(1.1, 10, 0.95), (math.nan, 10, 0.95), (0.5, 0, 0.95), (0.5, 10, 1.0)]:
        with pytest.raises(ConfigError, match="no interval"):
            wilson(share, count, confidence)
    assert (plus_minus(0.5, 96), plus_minus(0.5, None)) == ("50.00% ± 9.81", "50.00%")
    assert plus_minus(1.0, 25) == "100.00% ± 13.32"  # its interval ends at 86.68 %
    assert plus_minus(0.0, 25) == "0.00% ± 13.32"


@given(st.integers(1, 500), st.data())
def test_an_interval_is_where_the_score_test_rejects(images: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, images)) / images
    low, high = wilson(share, images)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    for end in (low, high):  # the definition: |share - end| is 1.96 standard errors of a true share `end`
        off = abs(share - end) - 1.959963985 * math.sqrt(end * (1 - end) / images)
        assert off == pytest.approx(0, abs=1e-7)
