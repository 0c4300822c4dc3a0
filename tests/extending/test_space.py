"""The space of docs/add-a-space.md: exact in sums, budgets and searches, against enumeration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.arrays import Archs
from hwnas.graph.count import count, peak_elements
from hwnas.optimize import Budget, FeasibleRegion, Objective, Problem
from hwnas.prediction.costs import LayerMax, madds, params
from hwnas.space.chain import ChainSpace
from tests.extending.plugins import blocks, load, register


@pytest.fixture(scope="module")
def space() -> ChainSpace:
    space: ChainSpace = load("add-a-space.md", "hwnas_widths").Widths()
    return space


@pytest.fixture(scope="module")
def everything(space: ChainSpace) -> Archs:
    return np.indices(tuple(space.num_choices)).reshape(space.num_layers, -1).T


def test_sums_are_those_of_the_graphs(space: ChainSpace, everything: Archs) -> None:
    counts = [count(space.graph(arch)) for arch in everything]
    assert madds(space)(everything).tolist() == [c.madds for c in counts]
    assert params(space)(everything).tolist() == [c.params for c in counts]
    peaks = [max(map(peak_elements, space.graph(arch).ops)) for arch in everything]
    assert LayerMax(space, peak_elements)(everything).tolist() == peaks


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_budgets_are_exact(space: ChainSpace, everything: Archs, share: float) -> None:
    """Each width is paid for by two layers, so no sum of choices alone would do."""
    costs = madds(space)(everything)
    budget = float(np.quantile(costs, share))
    objective = Objective("madds", madds(space), free=True)
    region = FeasibleRegion(Problem(space, (objective,), (Budget("madds", budget),)))
    found = region.count()
    assert (found.count, found.exact) == ((costs <= budget).sum(), True)
    least, most = region.extremes(objective)
    assert (least.value, most.value) == (costs.min(), costs[costs <= budget].max())
    drawn = region.sample(500, np.random.default_rng(0))
    assert (madds(space)(drawn) <= budget).all()
    assert len(np.unique(drawn, axis=0)) > 0.9 * min(found.count, 300)


def test_the_pages_search_runs(
    space: ChainSpace, everything: Archs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec(blocks("add-a-space.md")[1], names)
    found = names["found"]
    costs = madds(space)(everything)
    best = everything[costs <= 1e6].sum(axis=1).max()
    assert found.archs[found.front].sum(axis=1).max() == best
    register(monkeypatch, "hwnas.spaces", widths="hwnas_widths:widths")
    hwnas.report(found.to_record(), output=tmp_path / "report.html")
    assert ">16</" in (tmp_path / "report.html").read_text("utf-8")  # a choice, by its label
