"""What a bench says of a table's prediction: as of now, with the uncertainty of now."""

from __future__ import annotations

from math import hypot

import pytest

from hwnas.records.bench import BenchRecord


def test_a_prediction_drifts_with_the_machine() -> None:
    def record(drift: float | None, error_90: float | None) -> BenchRecord:
        return BenchRecord(
            results=(), fastest=(), lacking=(), drift=drift, drift_error_90=error_90, confidence_95=0.01,
            unsteadiness_90=0.02,
        )  # fmt: skip

    predicted = 10.0, 9.7, 10.3
    assert record(None, None).drifted(predicted) == pytest.approx(predicted)
    assert record(1.5, None).drifted(predicted) == pytest.approx((15.0, 14.55, 15.45))
    half_ms = 1.5 * hypot(0.3, 0.4)
    assert record(1.5, 0.04).drifted(predicted) == pytest.approx((15.0, 15 - half_ms, 15 + half_ms))
    assert record(1.5, 2.0).drifted(predicted)[1] == 0
    assert record(1.5, 0.04).drifted((10.0, None, None)) == (15.0, None, None)
