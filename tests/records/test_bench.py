"""What a bench says of a table's prediction: as of now, with the uncertainty of now."""

from __future__ import annotations

from math import hypot

import pytest

from hwnas.errors import ModelError
from hwnas.files import validated
from hwnas.records.bench import BenchRecord, BenchRow


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


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("images_per_s", 0.0, "images_per_s: Input should be greater than 0"),
        ("images_per_s", 101.0, r"images_per_s 101 isn't batch 2 per p50_ms 4"),
        ("batch", 0, "batch: .* greater than"),
        ("bytes", -1, "bytes: .* greater than"),
        ("memory_mb", -1.0, "memory_mb: .* greater than"),
        ("predicted_ms", 0.0, "predicted_ms: .* greater than"),
    ],
)
def test_numbers_of_a_row_agree(field: str, value: float, words: str) -> None:
    row = {
        "artifact": "a", "target": "t", "runtime": "r", "threads": 1, "batch": 2, "p50_ms": 4.0, "p10_ms": 4.0,
        "p90_ms": 4.0, "count": 9, "precision": "fp32", "images_per_s": 500.0, "bytes": 1, "parity": None,
        "precisions": {}, "memory_mb": None, "predicted_ms": None,
    }  # fmt: skip
    assert validated(BenchRow, row, "bench.json", ModelError).images_per_s == 500
    with pytest.raises(ModelError, match=words):
        validated(BenchRow, {**row, field: value}, "bench.json", ModelError)
