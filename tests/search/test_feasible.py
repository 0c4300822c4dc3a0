"""The fastest arch, repair, and budgets that can't be met."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import BudgetError
from hwnas.search.feasible import FeasibleRegion, fastest
from hwnas.search.objective import Budget, Objective, Problem, Values
from hwnas.space.space import Archs, Space
from tests.search.problems import ALL_MACRO, MACRO, layer_sum, table

_seeds = st.integers(0, 2**32 - 1)


def _region(space: Space, *limits: tuple[Callable[[Archs], Values], float], name: str = "cost") -> FeasibleRegion:
    objectives = tuple(Objective(f"{name}{i or ''}", fn, free=True) for i, (fn, _) in enumerate(limits))
    budgets = tuple(Budget(o.name, at_most) for o, (_, at_most) in zip(objectives, limits, strict=True))
    return FeasibleRegion(Problem(space, objectives, budgets))


@settings(deadline=None, max_examples=30)
@given(_seeds)
def test_fastest_is_exact_for_sums(seed: int) -> None:
    fn = layer_sum(MACRO, table(MACRO, seed, -1, 1))
    arch, value = fastest(MACRO, fn)
    everything = fn(ALL_MACRO)
    assert value == everything.min()
    np.testing.assert_array_equal(arch, ALL_MACRO[everything.argmin()])


@settings(deadline=None, max_examples=20)
@given(_seeds)
def test_fastest_of_anything_cant_be_improved_by_one_layer(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(size=len(ALL_MACRO))

    def fn(archs: Archs) -> Values:
        return values[archs @ 3 ** np.arange(7, -1, -1)]

    arch, value = fastest(MACRO, fn)
    neighbours = ALL_MACRO[(arch != ALL_MACRO).sum(axis=1) <= 1]
    assert len(neighbours) == 17
    assert value == fn(neighbours).min()


def test_fastest_respects_barred_choices(small_space: Space) -> None:
    per_choice = -np.tile(np.arange(int(small_space.num_choices.max()), dtype=float), (6, 1))
    arch, value = fastest(small_space, layer_sum(small_space, per_choice))
    np.testing.assert_array_equal(arch, small_space.num_choices - 1)
    assert value == -(small_space.num_choices - 1).sum()
    assert len(set(small_space.num_choices)) == 2  # else nothing is barred and this test says little


@settings(deadline=None, max_examples=30)
@given(_seeds, st.floats(0, 0.6))
def test_repair_keeps_what_is_within_and_mends_the_rest(seed: int, looseness: float) -> None:
    fn = layer_sum(MACRO, table(MACRO, seed))
    low, high = fn(ALL_MACRO).min(), fn(ALL_MACRO).max()
    region = _region(MACRO, (fn, low + looseness * (high - low)))
    archs = MACRO.sample(64, seed)
    repaired = region.repair(archs, np.random.default_rng(seed))
    over = ~region.contains(archs)
    assert over.any()
    assert region.contains(repaired).all()
    np.testing.assert_array_equal(repaired[~over], archs[~over])


def test_repair_changes_no_more_layers_than_needed() -> None:
    region = _region(MACRO, (lambda archs: archs.sum(axis=1) + 1.0, 9.0))
    repaired = region.repair(np.full((50, 8), 2), np.random.default_rng(0))
    np.testing.assert_array_equal((repaired != 2).sum(axis=1), np.full(50, 4))
    assert len(np.unique(repaired, axis=0)) > 20  # which layers is random


def test_without_free_budgets_everything_is_feasible() -> None:
    objective = Objective("slow", lambda archs: np.full(len(archs), 5.0))
    region = FeasibleRegion(Problem(MACRO, (objective,), (Budget("slow", 1),)))  # not free, so not asked
    assert region.contains(ALL_MACRO).all()


def test_an_impossible_budget_says_what_is_possible() -> None:
    fn = layer_sum(MACRO, table(MACRO, 3))
    low = fn(ALL_MACRO).min()
    with pytest.raises(BudgetError) as error:
        _region(MACRO, (fn, low * 0.99))
    message = str(error.value)
    assert "\n" not in message
    assert ",".join(map(str, ALL_MACRO[fn(ALL_MACRO).argmin()])) in message
    assert f"{low:.6g}" in message
    assert "right unit" not in message
    (nearest,) = re.findall(r"give at least (\S+)$", message)
    assert low <= float(nearest) <= low * 1.001
    region = _region(MACRO, (fn, float(nearest)))  # what the message offers is accepted
    assert region.contains(region.anchor[None]).all()


@pytest.mark.parametrize(("name", "unit"), [("latency_ms", "milliseconds"), ("latency_us", "microseconds")])
def test_a_budget_in_the_wrong_unit_gets_a_hint(name: str, unit: str) -> None:
    fn = layer_sum(MACRO, table(MACRO, 3))
    middle = float(np.median(fn(ALL_MACRO)))
    for factor in (1e-3, 1e3):
        with pytest.raises(BudgetError, match=unit) as error:
            _region(MACRO, (fn, middle * factor), name=name)
        assert "\n" not in str(error.value)
    _region(MACRO, (fn, middle * 30), name=name)  # merely loose
    _region(MACRO, (fn, middle * 1e3), name="madds")  # loose, and no unit of time to confuse


@settings(deadline=None, max_examples=20)
@given(_seeds)
def test_an_arch_within_several_budgets_is_found(seed: int) -> None:
    one, two = layer_sum(MACRO, table(MACRO, seed)), layer_sum(MACRO, table(MACRO, seed + 1))
    reachable = MACRO.sample(1, seed)
    region = _region(MACRO, (one, 1.1 * one(reachable)[0]), (two, 1.1 * two(reachable)[0]))
    assert one(region.anchor[None])[0] <= 1.1 * one(reachable)[0]
    assert two(region.anchor[None])[0] <= 1.1 * two(reachable)[0]
    assert region.contains(region.repair(MACRO.sample(50, 1), np.random.default_rng(0))).all()


def test_budgets_in_conflict_are_named() -> None:
    up, down = (lambda archs: archs.sum(axis=1) + 1.0), (lambda archs: 17.0 - archs.sum(axis=1))
    _region(MACRO, (up, 9), (down, 9))
    with pytest.raises(BudgetError, match=r"all budgets at once.*cost1? \S+, over its budget of \d") as error:
        _region(MACRO, (up, 8), (down, 9))
    assert "\n" not in str(error.value)
