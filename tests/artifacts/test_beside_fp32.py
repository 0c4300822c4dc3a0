"""What an export's files cost: each beside its own fp32 form, which is made and timed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hwnas.artifacts import beside_fp32
from hwnas.artifacts.beside_fp32 import costs
from hwnas.artifacts.make import Made, make
from hwnas.artifacts.parity import random_textures
from hwnas.artifacts.source import NetworkSource
from hwnas.artifacts.timing import Timing
from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.records.target import get_target
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import Latency
from tests.artifacts.evidence import of_images

CHW = (3, 16, 16)
FP32, INT8 = get_target("onnx-fp32"), get_target("onnx-int8-cpu")


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * 6).eval()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sessions that were timed; the first takes 1 ms, the second 2 ms, and so on."""
    seen: list[Any] = []

    def time_sessions(sessions: Mapping[str, Any], *_: Any, **__: Any) -> Timing[str]:
        seen.extend(sessions.values())
        latency = {key: Latency(p50_ms=ms, p10_ms=ms, p90_ms=ms, count=9) for ms, key in enumerate(sessions, start=1)}
        return Timing(latency=latency, failed={}, confidence_95=0.0, unsteadiness_90=0.0)

    monkeypatch.setattr(beside_fp32, "time_sessions", time_sessions)
    monkeypatch.setattr(beside_fp32, "peak_memory_mb", lambda *_, **__: 7.0)
    return seen


def made(network: Network, *targets: Any) -> list[Made]:
    return [make(NetworkSource(network), target, of_images(random_textures(8, CHW))) for target in targets]


def test_each_file_has_its_fp32_form_beside_it(network: Network, timed: list[Any]) -> None:
    fixed = INT8.model_copy(update={"name": "fixed", "batch": INT8.batch.model_copy(update={"min": 4, "opt": 4})})
    found = costs(NetworkSource(network), made(network, INT8, fixed))
    assert [len(images) for _, (images,) in timed] == [1, 4, 1, 4]
    told = {name: (cost.latency.p50_ms, cost.fp32_ms, cost.memory_mb) for name, cost in found.items()}
    assert told == {"onnx-int8-cpu": (1, 3, 7.0), "fixed": (2, 4, 7.0)}


def test_an_fp32_form_that_is_exported_as_well_serves_both(network: Network, timed: list[Any]) -> None:
    again = FP32.model_copy(update={"name": "stricter", "tolerance": INT8.tolerance})
    found = costs(NetworkSource(network), made(network, FP32, INT8, again))
    assert len(timed) == 2
    assert {name: (cost.latency.p50_ms, cost.fp32_ms) for name, cost in found.items()} == {
        "onnx-fp32": (1, 1), "onnx-int8-cpu": (2, 1), "stricter": (1, 1),
    }  # fmt: skip


def test_where_fp32_cant_be_had_nothing_is_beside(
    network: Network, timed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    int8 = made(network, INT8)

    def failing(*_: Any, **__: Any) -> Made:
        raise ModelError("no fp32 on this GPU")

    monkeypatch.setattr(beside_fp32, "make", failing)
    assert costs(NetworkSource(network), int8)["onnx-int8-cpu"].fp32_ms is None
    assert len(timed) == 1


def test_what_cant_run_here_costs_nothing(network: Network, timed: list[Any]) -> None:
    assert costs(NetworkSource(network), made(network, get_target("tensorrt-rtx-fp16"))) == {}
    assert timed == []


def test_a_file_that_fails_when_timed_isnt_shipped(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    files = made(network, INT8)

    def fails() -> None:
        raise RuntimeError("no kernel\nfor this processor")

    monkeypatch.setattr(files[0].session, "bind", lambda _: fails)
    with pytest.raises(ModelError, match=r"onnx-int8-cpu fails when it is timed: no kernel$"):
        costs(NetworkSource(network), files)
