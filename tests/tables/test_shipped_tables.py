"""Every shipped table loads, covers its space, says how it was measured, and predicts sanely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.predict.latency import LatencyPredictor
from hwnas.predict.lowered import madds
from hwnas.shipped import shipped
from hwnas.tables.table import LatencyTable

TABLES = sorted(shipped("latency_tables").rglob("*.y*ml"))


def test_scarlet_s2_at_224_is_shipped() -> None:
    assert any(path.name.startswith("scarlet-s2-224-onnxruntime-") for path in TABLES)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_table(path: Path) -> None:
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
    predicted_ms = LatencyPredictor(table, space).predict(archs)
    assert np.corrcoef(predicted_ms, madds(space)(archs))[0, 1] > 0.6
