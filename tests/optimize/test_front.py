"""Fronts as files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import InputError, ModelError
from hwnas.optimize.driver import run_search
from hwnas.optimize.front import Front, FrontBudget
from hwnas.optimize.problem import Budget
from hwnas.optimize.result import SearchResult
from hwnas.space.registry import get_space
from tests.optimize.problems import MACRO, quality_cost_objectives


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return run_search(MACRO, quality_cost_objectives(0), [Budget("cost_ms", 60)], evaluations=40, seed=3)


@pytest.fixture
def data(result: SearchResult) -> Any:
    return result.to_front().plain()


def test_round_trip(result: SearchResult, tmp_path: Path) -> None:
    front = result.to_front()
    front.write(tmp_path / "front.json")
    again = Front.read(tmp_path / "front.json")
    assert again == front
    np.testing.assert_array_equal(again.archs, front.archs)
    np.testing.assert_array_equal(again.values, front.values)
    assert (again.seed, again.evaluations) == (3, 40)
    assert get_space(again.space) == MACRO
    assert again.budgets == (FrontBudget(objective="cost_ms", at_most=60),)


def test_the_reference_is_the_worst_of_everything_evaluated(result: SearchResult) -> None:
    front = result.to_front()
    assert list(front.reference) == [result.values[:, 0].min(), result.values[:, 1].max()]
    assert front.plain()["reference"] == list(front.reference)


def test_a_reference_of_ones_own(result: SearchResult) -> None:
    front = result.to_front([0, 60])
    staircase = front.values[np.argsort(front.values[:, 1])]
    quality, cost = np.maximum.accumulate(staircase[:, 0]), np.append(staircase[:, 1], 60)
    assert front.hypervolume == pytest.approx((quality * np.diff(cost)).sum())
    for wrong in ([0], [0, math.nan], [0, 60, 1]):
        with pytest.raises(InputError, match="reference point"):
            result.to_front(wrong)


def test_a_front_without_points(data: Any) -> None:
    data["points"], data["hypervolume"] = [], 0.0
    front = Front.of_plain(data, "front.json")
    assert len(front.archs) == 0
    assert front.values.shape == (0, 2)


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return change


def _drop(*path: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_drop("reference"), "reference"),
        (_drop("points", 0, "choices"), "points.0.choices"),
        (_set("more", to=1), "unknown key 'more'"),
        (_set("points", 1, "values", 0, to=math.nan), "points.1.values.0"),
        (_set("points", 1, "values", 0, to=math.inf), "points.1.values.0"),
        (_set("points", 1, "values", 0, to="3"), "points.1.values.0"),
        (_set("points", 1, "values", to=[1.0]), "points.1.values"),
        (_set("points", 1, "choices", to=[1]), "points.1.choices"),
        (_set("points", 0, "choices", 0, to=-1), "points.0.choices.0"),
        (_set("points", 0, "choices", 0, to=1.5), "points.0.choices.0"),
        (_set("points", 0, "choices", 0, to=True), "points.0.choices.0"),
        (_set("objectives", to=[]), "objectives"),
        (_set("objectives", 0, "maximize", to=1), "objectives.0.maximize"),
        (_set("objectives", 0, "name", to="cost_ms"), "objectives"),
        (_set("budgets", 0, "at_most", to=-5.0), "budgets.0.at_most"),
        (_set("budgets", 0, "objective", to="x"), "budgets.0.objective"),
        (_set("reference", to=[1.0]), "reference"),
        (_set("hypervolume", to=1.0), "hypervolume"),
        (_set("evaluations", to="40"), "evaluations"),
        (_set("seed", to=-1), "seed"),
        (_set("space", to=None), "space"),
        (_set("space", "resolution", to=0), "space.resolution"),
    ],
)
def test_a_wrong_front_names_file_and_field(data: Any, change: Callable[[Any], None], field: str) -> None:
    change(data)
    with pytest.raises(ModelError) as error:
        Front.of_plain(data, "front.json")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"front.json: {field}")


@pytest.mark.parametrize("data", [None, [], "front", 3])
def test_what_isnt_an_object_is_refused(data: Any) -> None:
    with pytest.raises(ModelError, match=r"front\.json"):
        Front.of_plain(data, "front.json")
