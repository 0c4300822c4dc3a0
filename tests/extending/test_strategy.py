"""The strategy of docs/add-a-strategy.md, held to the contract of all, and found by its name."""

from __future__ import annotations

import pytest

from hwnas.optimize import STRATEGIES, StrategyFactory
from hwnas.testing import StrategyContract
from tests.extending.plugins import load, register


class TestBeam(StrategyContract):
    evaluations = 60

    @pytest.fixture
    def strategy(self) -> StrategyFactory:
        factory: StrategyFactory = load("add-a-strategy.md", "hwnas_beam").BeamSearch
        return factory


def test_it_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    beam = load("add-a-strategy.md", "hwnas_beam").BeamSearch
    register(monkeypatch, "hwnas.strategies", beam="hwnas_beam:BeamSearch")
    assert STRATEGIES.get("beam") is beam
    assert "beam" in STRATEGIES.names()
