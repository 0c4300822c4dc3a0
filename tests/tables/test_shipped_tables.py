"""Every shipped table loads, covers its space, says how it was measured, and predicts sanely."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.prediction.costs import madds
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.tables.itself import odd_latencies
from hwnas.tables.table import LatencyTable

TABLES = sorted(shipped("latency_tables").rglob("*.y*ml"))


def test_scarlet_s2_at_224_is_shipped() -> None:
    assert any(path.name.startswith("scarlet-s2-224-onnxruntime-") for path in TABLES)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_table(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing in it contradicts anything
        table = LatencyTable.load(path)
    space = table.get_space()
    assert table.space is not None
    device = table.device
    assert table.space.fingerprint == space.fingerprint
    assert set(table.ops) == set(space.distinct_ops)
    assert path.name == (f"{space.name}-{space.resolution}-{device.runtime}-{device.precision}-{device.threads}t.yaml")
    assert table.to_yaml() == path.read_text("utf-8")
    assert table.calibration is not None
    assert len(table.networks) == table.calibration.networks >= 8
    assert min(entry.count for entry in table.ops.values()) >= 30
    archs = space.sample(300, seed=0)
    predicted_ms = LatencyPredictor(table, space)(archs)
    assert np.corrcoef(predicted_ms, madds(space)(archs))[0, 1] > 0.6


@pytest.mark.parametrize("path", TABLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_one_op_in_another_unit_shows(path: Path) -> None:
    table = LatencyTable.load(path)
    for number, (op, latency) in enumerate(list(table.ops.items())[::17]):
        altered = latency.model_copy(update={"p50_ms": latency.p50_ms * (1e3 if number % 2 else 1e-3)})
        (told,) = odd_latencies(replace(table, ops={**table.ops, op: altered}))
        assert told.startswith(f"[{op}] takes ")


def test_the_90th_percentile_of_networks_that_were_held_out() -> None:
    """Of the table that was measured the longest: predicted nearly as well as it can be measured twice."""
    table = LatencyTable.load(next(p for p in TABLES if p.name == "scarlet-s2-224-onnxruntime-fp32-1t.yaml"))
    archs = [first.choices for first, _ in table.held_out]
    first_ms, again_ms = (np.array([pair[copy].p90_ms for pair in table.held_out]) for copy in (0, 1))
    measured_ms = (first_ms + again_ms) / 2
    predictor = LatencyPredictor(table, table.get_space(), quantile="p90")
    error = np.abs(predictor(archs) / measured_ms - 1).mean()
    assert error < 0.012 < np.abs(first_ms / again_ms - 1).mean()
    median = LatencyPredictor(table, table.get_space())(archs)
    assert np.abs(median / measured_ms - 1).mean() > 3 * error  # the median isn't the 90th percentile
    interval = predictor.interval(archs)
    assert interval is not None
    inside = (interval[0] <= np.stack([first_ms, again_ms])) & (np.stack([first_ms, again_ms]) <= interval[1])
    assert 0.8 < inside.mean() <= 1
