"""The strategy of docs/add-a-strategy.md, held to the contract of all, and found by its name."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.optimize import STRATEGIES
from tests.extending.plugins import blocks, load, register

load("add-a-strategy.md", "hwnas_beam")
_PAGE: dict[str, Any] = {}
exec(blocks("add-a-strategy.md")[1], _PAGE)


class TestBeam(_PAGE["TestBeam"]):  # type: ignore[misc]
    """The page's own test file, with fewer evaluations."""

    evaluations = 60


def test_it_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    beam = load("add-a-strategy.md", "hwnas_beam").BeamSearch
    register(monkeypatch, "hwnas.strategies", beam="hwnas_beam:BeamSearch")
    assert STRATEGIES.get("beam") is beam
    assert "beam" in STRATEGIES.names()
