"""The loop that closes a search, with meters whose truth is known: what leaves the front, what comes in, the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs, Indices, Values
from hwnas.optimize.measured_front import MeasuredResult, budget_as_searched, measure_front
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.result import SearchResult
from tests.optimize.problems import ALL_MACRO, MACRO, quality_and_cost


class FakeMeter:
    """Knows the truth; its predictions are off by a factor until it has measured, and by errors of their own always."""

    def __init__(self, truth: Callable[[Archs], Values], errors: Values, factor: float, broken: Indices) -> None:
        self.names = ("cost_ms",)
        self.asked: list[Archs] = []
        self._truth, self._factor = truth, factor
        self._errors = {bytes(arch): error for arch, error in zip(ALL_MACRO, errors, strict=True)}
        self._broken = {bytes(arch) for arch in ALL_MACRO[broken]}

    def measure(self, archs: Archs) -> Values:
        self.asked.append(archs)
        self._factor = 1.0
        fine = np.array([bytes(arch) not in self._broken for arch in archs])
        return np.where(fine, self._truth(archs), np.nan)[:, None]

    def predict(self, archs: Archs) -> Values:
        errors = np.array([self._errors[bytes(arch)] for arch in archs])
        return (self._truth(archs) * self._factor * errors)[:, None]


def searched(seed: int, count: int, at_most: float | None, meter: FakeMeter, *, third: bool = False) -> SearchResult:
    """Random archs of macro within a budget of predicted cost; ``third`` is an objective that can't be measured."""
    quality, _ = quality_and_cost(seed)
    objectives = [
        Objective("quality", quality, maximize=True),
        Objective("cost_ms", lambda archs: meter.predict(archs)[:, 0], free=True),
    ]
    if third:
        objectives.append(Objective("size", lambda archs: (archs * np.arange(1, 9)).sum(axis=1), free=True))
    problem = Problem(MACRO, tuple(objectives), () if at_most is None else (Budget("cost_ms", at_most),))
    archs = np.random.default_rng(seed).permutation(ALL_MACRO)
    archs = archs[problem.excess(np.column_stack([o.values(archs) for o in objectives])) <= 0][:count]
    return SearchResult(problem, archs, np.column_stack([o.values(archs) for o in objectives]), seed)


def meter_of(seed: int, *, factor: float = 1.0, noise: float = 0.0, broken: int = 0) -> FakeMeter:
    rng = np.random.default_rng(seed + 1000)
    errors = np.exp(noise * rng.standard_normal(len(ALL_MACRO)))
    return FakeMeter(quality_and_cost(seed)[1], errors, factor, rng.permutation(len(ALL_MACRO))[:broken])


def dominates(a: Values, b: Values, maximize: Values) -> bool:
    better, worse = np.where(maximize, a > b, a < b), np.where(maximize, a < b, a > b)
    return bool(better.any() and not worse.any())


def check(
    result: SearchResult, closing: MeasuredResult, meter: FakeMeter, most_per_round: int, most_rounds: int
) -> None:
    """Everything that holds whatever was measured."""
    problem, front = result.problem, closing.front.tolist()
    row = {bytes(arch): index for index, arch in enumerate(result.archs)}
    tried = [row[bytes(arch)] for archs in meter.asked for arch in archs]
    assert len(tried) == len(set(tried))  # nothing is measured twice
    assert closing.rounds == len(meter.asked) <= most_rounds
    assert all(0 < len(archs) <= most_per_round for archs in meter.asked)
    assert set(closing.unmeasured.tolist()) == set(front) - set(tried)
    if closing.rounds < most_rounds:
        assert not len(closing.unmeasured)
    measured = [index for index in tried if index not in closing.failed]
    truth = meter._truth(result.archs)
    assert closing.values[measured, 1].tolist() == truth[measured].tolist() == closing.measured[measured, 1].tolist()
    others = np.delete(np.arange(len(result.archs)), measured)
    assert np.isnan(closing.measured[others]).all()
    assert np.isnan(closing.measured[:, 0]).all()
    assert closing.values[:, 0].tolist() == result.values[:, 0].tolist()
    maximize, over = problem.maximize, problem.excess(closing.values) > 0
    candidates = [i for i in range(len(result.archs)) if not over[i] and i not in closing.failed]
    for index in range(len(result.archs)):  # who isn't on the front is over budget, can't be run, or is dominated
        beaten = any(dominates(closing.values[other], closing.values[index], maximize) for other in candidates)
        assert (index in front) == (index in candidates and not beaten)
    assert set(closing.failed.tolist()) <= set(tried)
    known = [index for index in front if index in tried]
    assert (closing.winner is None) == (not known)
    if closing.winner is not None:
        assert closing.winner in known
        assert result.values[closing.winner, 0] == result.values[known, 0].max()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000), count=st.integers(1, 60), factor=st.sampled_from([0.7, 0.9, 1.0, 1.1, 1.4]),
    noise=st.sampled_from([0.0, 0.02, 0.2]), broken=st.sampled_from([0, 700, 6561]), budgeted=st.booleans(),
    third=st.booleans(), most_per_round=st.integers(1, 12), most_rounds=st.sampled_from([0, 1, 3, 100]),
)  # fmt: skip
def test_the_final_front_is_that_of_what_is_known(
    seed: int, count: int, factor: float, noise: float, broken: int, budgeted: bool, third: bool, most_per_round: int,
    most_rounds: int,
) -> None:  # fmt: skip
    meter = meter_of(seed, factor=factor, noise=noise, broken=broken)
    result = searched(seed, count, 24.0 if budgeted else None, meter, third=third)
    closing = measure_front(result, [meter], most_per_round=most_per_round, most_rounds=most_rounds)
    check(result, closing, meter, most_per_round, most_rounds)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [0.6, 0.8, 1.0, 1.3])
def test_a_predictor_that_is_off_by_a_factor_ends_at_the_true_front(seed: int, factor: float) -> None:
    """Once the factor is known predictions are exact: what is over budget goes, and exactly the true front remains."""
    meter = meter_of(seed, factor=factor)
    result = searched(seed, 300, 24.0, meter)
    searched_front = result.front
    closing = measure_front(result, [meter])
    true = SearchResult(result.problem, result.archs, np.stack([result.values[:, 0], meter._truth(result.archs)], 1), 0)
    assert closing.front.tolist() == true.front.tolist()
    assert not len(closing.unmeasured)
    over = meter._truth(result.archs[searched_front]) > 24.0
    assert over.any() == (factor < 1)
    assert not set(searched_front[over].tolist()) & set(closing.front.tolist())


def test_a_predictor_that_is_right_is_asked_once_and_nothing_moves() -> None:
    meter = meter_of(3)
    result = searched(3, 200, 24.0, meter)
    closing = measure_front(result, [meter], most_per_round=1000)
    assert closing.rounds == 1
    assert closing.front.tolist() == result.front.tolist()


def test_nothing_is_left_when_all_is_over_budget() -> None:
    meter = meter_of(0, factor=0.1)
    result = searched(0, 40, 3.0, meter)
    closing = measure_front(result, [meter], most_rounds=100)
    assert (closing.front.tolist(), closing.winner) == ([], None)
    assert closing.rounds >= 1


def test_a_front_that_nobody_is_on_is_not_measured() -> None:
    meter = meter_of(0)
    result = searched(0, 30, None, meter)
    over = SearchResult(
        Problem(MACRO, result.problem.objectives, (Budget("cost_ms", 1e-3),)), result.archs, result.values, 0
    )
    closing = measure_front(over, [meter])
    assert (closing.front.tolist(), closing.rounds, meter.asked) == ([], 0, [])


def test_a_round_takes_the_ends_and_then_what_lies_farthest_from_everything_known() -> None:
    meter = meter_of(5, noise=0.01)
    result = searched(5, 2000, None, meter, third=True)
    front = result.front
    points = result.problem.minimised(result.values[front])
    assert len(front) > 40
    measure_front(result, [meter], most_per_round=12, most_rounds=1)
    where = {bytes(arch): position for position, arch in enumerate(result.archs[front])}
    chosen = [where[bytes(arch)] for arch in meter.asked[0]]
    assert len(chosen) == len(set(chosen)) == 12
    ends = {min(range(len(points)), key=lambda i, k=k: (points[i, k], *np.delete(points[i], k))) for k in range(3)}
    assert ends == set(chosen[: len(ends)])
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    for step in range(len(ends), 12):
        to_known = distance[:, chosen[:step]].min(axis=1)
        assert to_known[chosen[step]] == pytest.approx(to_known.max())


def test_two_devices_are_measured_side_by_side() -> None:
    first, second = meter_of(1, factor=0.8), meter_of(2, factor=1.2)
    second.names = ("other_ms",)
    quality, _ = quality_and_cost(1)
    problem = Problem(
        MACRO,
        (
            Objective("quality", quality, maximize=True),
            Objective("cost_ms", lambda archs: first.predict(archs)[:, 0]),
            Objective("other_ms", lambda archs: second.predict(archs)[:, 0]),
        ),
        (Budget("cost_ms", 22.0), Budget("other_ms", 30.0)),
    )
    archs = np.random.default_rng(0).permutation(ALL_MACRO)[:200]
    values = np.column_stack([objective.values(archs) for objective in problem.objectives])
    closing = measure_front(SearchResult(problem, archs, values, 0), [first, second], most_rounds=50)
    truth = np.column_stack([values[:, 0], first._truth(archs), second._truth(archs)])
    assert closing.front.tolist() == SearchResult(problem, archs, truth, 0).front.tolist()
    assert closing.values[closing.front].tolist() == truth[closing.front].tolist()
    assert [len(a) for a in first.asked] == [len(a) for a in second.asked]


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_how_far_the_budget_moved(factor: float) -> None:
    refitted = np.linspace(1, 10, 200)
    assert budget_as_searched(factor * refitted, refitted, 8.0) == pytest.approx(8.0 * factor)
    bent = np.where(refitted > 7, factor, 3.0) * refitted  # far from the budget it was off by another factor
    assert budget_as_searched(bent, refitted, 8.5) == pytest.approx(8.5 * factor)
