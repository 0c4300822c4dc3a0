"""``model.json``: numbers that can't be are refused, with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.errors import ModelError
from hwnas.records.model import ModelInfo, ModelRecord, OnDevice, Searched
from hwnas.space.registry import get_space

DEVICE = {"table": "t", "device": "d", "budget_ms": 9.0, "predicted_ms": 8.0, "low_ms": 7.5, "high_ms": 8.5,
          "measured_ms": 8.1}  # fmt: skip


def _record(device: dict[str, Any]) -> dict[str, Any]:
    searched = Searched(strategy="nsga2", evaluations=9, seed=0, devices=(OnDevice(**device),))
    space = get_space("scarlet-tiny")
    return ModelRecord(
        space=space.ref, choices=(0,) * 8, stabilizers=(), madds=1, params=1,
        info=ModelInfo(accuracy={"test": 0.98}, searched=searched), weights_sha256="0" * 64,
    ).plain()  # fmt: skip


@pytest.mark.parametrize("low_high", [(7.5, 8.5), (0.0, 99.0), (8.0, 8.0), (None, None)])
def test_what_can_be_is_read_back(low_high: tuple[float | None, float | None]) -> None:
    plain = _record(DEVICE | dict(zip(("low_ms", "high_ms"), low_high, strict=True)))
    assert ModelRecord.of_plain(plain, "model.json").plain() == plain


@pytest.mark.parametrize("accuracy", [1.01, -0.1, 98.3, float("nan"), float("inf"), "0.9", True, None])
def test_an_accuracy_outside_0_to_1(accuracy: Any) -> None:
    plain = _record(DEVICE)
    plain["info"]["accuracy"]["test"] = accuracy
    with pytest.raises(ModelError, match=r"model\.json: info\.accuracy\.test"):
        ModelRecord.of_plain(plain, "model.json")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"low_ms": 8.5, "high_ms": 7.5}, "low ≤ predicted ≤ high doesn't hold: 8.5, 8.0, 7.5"),
        ({"predicted_ms": 9.0}, "low ≤ predicted ≤ high doesn't hold"),
        ({"high_ms": None}, "low_ms and high_ms go together"),
        ({"predicted_ms": 0.0}, "predicted_ms: Input should be greater than 0"),
        ({"low_ms": -1.0}, "low_ms: Input should be greater than or equal to 0"),
    ],
)
def test_an_interval_that_runs_backwards(changed: dict[str, Any], words: str) -> None:
    plain = _record(DEVICE)
    plain["info"]["searched"]["devices"][0] |= changed
    with pytest.raises(ModelError, match=words) as caught:
        ModelRecord.of_plain(plain, "model.json")
    assert str(caught.value).startswith("model.json: info.searched.devices.0")
