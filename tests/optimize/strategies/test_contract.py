"""Every built-in strategy keeps what `hwnas.optimize.strategies` promises."""

from __future__ import annotations

import pytest

from hwnas.optimize.strategies import STRATEGIES, StrategyFactory
from hwnas.testing import StrategyContract


class _BuiltIn(StrategyContract):
    name: str

    @pytest.fixture
    def strategy(self) -> StrategyFactory:
        return STRATEGIES.get(self.name)


class TestRandom(_BuiltIn):
    name = "random"


class TestGuided(_BuiltIn):
    name = "guided"
    evaluations = 40  # each batch takes a fit


class TestNSGA2(_BuiltIn):
    name = "nsga2"


class TestNSGA3(_BuiltIn):
    name = "nsga3"


class TestRegularized(_BuiltIn):
    name = "regularized"


class TestHill(_BuiltIn):
    name = "hill"
