"""Objectives and budgets: what is refused, and the one place where signs change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hwnas.arrays import Archs
from hwnas.errors import BudgetError, HwnasError, InputError, ObjectiveError
from hwnas.optimize.problem import Budget, Objective, Problem
from tests.optimize.problems import MACRO

_ARCHS = MACRO.sample(3, 0)


def _one_line(error: pytest.ExceptionInfo[HwnasError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda archs: np.zeros((len(archs), 1)), "shape (3, 1)"),
        (lambda archs: 1.0, "returned one float"),
        (lambda archs: np.zeros(2), "must be (3,)"),
        (lambda archs: ["a", "b", "c"], "real numbers"),
        (lambda archs: np.array([1j, 1j, 1j]), "real numbers"),
        (lambda archs: None, "returned None"),
        (lambda archs: [[1], [1, 2], [3]], "list"),
        (lambda archs: [True, False, True], "real numbers"),
    ],
)
def test_what_isnt_a_number_per_arch_is_refused(fn: Callable[[Archs], Any], said: str) -> None:
    with pytest.raises(ObjectiveError) as error:
        Objective("loss", fn).values(_ARCHS)
    _one_line(error, "loss", said)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_isnt_finite_names_its_arch(bad: float) -> None:
    with pytest.raises(ObjectiveError) as error:
        Objective("loss", lambda archs: [1, bad, bad]).values(_ARCHS)
    _one_line(error, "loss", str(bad), ",".join(map(str, _ARCHS[1])))


def test_values_are_exact_float64_without_a_negative_zero() -> None:
    values = Objective("loss", lambda archs: [np.float64(0.1), 2, -0.0]).values(_ARCHS)
    assert values.dtype == np.float64
    assert values.tolist() == [0.1, 2.0, 0.0]
    assert not np.signbit(values[2])


def test_fn_cant_change_the_archs() -> None:
    def meddle(archs: Archs) -> list[int]:
        archs[:] = 0
        return [1] * len(archs)

    archs = _ARCHS.copy()
    Objective("loss", meddle).values(archs)
    np.testing.assert_array_equal(archs, _ARCHS)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", 3])
def test_wrong_names_are_refused(name: Any) -> None:
    with pytest.raises(ObjectiveError):
        Objective(name, len)


@pytest.mark.parametrize("at_most", [0, -1.0, np.nan, np.inf, "5", None, True])
def test_wrong_budgets_are_refused(at_most: Any) -> None:
    with pytest.raises(BudgetError) as error:
        Budget("latency_ms", at_most)
    _one_line(error, "latency_ms", str(at_most))


def _objective(name: str, maximize: bool = False) -> Objective:
    return Objective(name, lambda archs: np.zeros(len(archs)), maximize)


@pytest.mark.parametrize(
    ("objectives", "budgets", "error_class", "said"),
    [
        ([], [], ObjectiveError, "at least one"),
        ([_objective("a"), _objective("a")], [], ObjectiveError, "named a"),
        ([_objective("a")], [Budget("b", 1)], BudgetError, "objectives: a"),
        ([_objective("a", maximize=True)], [Budget("a", 1)], BudgetError, "maximised"),
        ([_objective("a")], [Budget("a", 1), Budget("a", 2)], BudgetError, "two budgets on a"),
    ],
)
def test_problems_that_make_no_sense_are_refused(
    objectives: list[Objective], budgets: list[Budget], error_class: type[InputError], said: str
) -> None:
    with pytest.raises(error_class) as error:
        Problem(MACRO, tuple(objectives), tuple(budgets))
    _one_line(error, said)


def test_signs_and_excess() -> None:
    objectives = (_objective("accuracy", maximize=True), _objective("latency_ms"), _objective("madds"))
    problem = Problem(MACRO, objectives, (Budget("latency_ms", 4), Budget("madds", 10)))
    values = np.array([[70.0, 4, 10], [80, 6, 5], [90, 6, 15]])
    np.testing.assert_array_equal(problem.minimised(values), [[-70, 4, 10], [-80, 6, 5], [-90, 6, 15]])
    np.testing.assert_array_equal(problem.excess(values), [0, 0.5, 1.0])


def test_the_smallest_step_over_a_budget_is_over_it() -> None:
    problem = Problem(MACRO, (_objective("latency_ms"),), (Budget("latency_ms", 0.3),))
    assert problem.excess(np.array([[0.3]]))[0] == 0
    assert problem.excess(np.array([[np.nextafter(0.3, 1)]]))[0] > 0
