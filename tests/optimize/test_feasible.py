"""The region against enumeration: the fastest arch, counts, draws, extremes, repair, and budgets that can't be met.

Sums that are known as such (``LayerSum``) are on the grid; other functions are asked arch by arch.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hwnas.arrays import Archs, Values
from hwnas.errors import BudgetError
from hwnas.optimize.feasible import FeasibleRegion, candidates, fastest
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.lowered import LayerMax
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, table
from tests.optimize.sums import ALL_SMALL, SMALL, random_sum
from tests.tables.make import made_up_table

_seeds = st.integers(0, 2**32 - 1)
_kinds = st.sampled_from(["real", "tenths", "whole"])


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


@settings(deadline=None, max_examples=30)
@given(_seeds, st.integers(0, len(ALL_SMALL) - 1), st.integers(1, 3))
def test_repair_along_sums_changes_one_layer_where_that_is_enough(seed: int, arch: int, budgets: int) -> None:
    fns = [random_sum(seed + i) for i in range(budgets)]
    region = _region(SMALL, *((fn, float(fn(ALL_SMALL[arch])[0])) for fn in fns))
    within = region.contains(ALL_SMALL)
    archs = ALL_SMALL[np.random.default_rng(seed).choice(len(ALL_SMALL), 100)]
    repaired = region.repair(archs, np.random.default_rng(seed))
    assert region.contains(repaired).all()
    for before, after in zip(archs, repaired, strict=True):
        fewest = (ALL_SMALL[within] != before).sum(axis=1).min()
        changed = (before != after).sum()
        assert changed == fewest if fewest < 2 else changed >= fewest


def _unlisted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a large space, where archs can't be looked at one by one."""
    monkeypatch.setattr(candidates, "_LISTED", -1)


@settings(deadline=None, max_examples=40)
@given(_seeds, _kinds, st.booleans(), st.integers(0, len(ALL_SMALL) - 1), st.integers(1, 3), st.booleans())
def test_counts_and_extremes_are_those_of_enumeration(
    seed: int, kind: str, stabilizers: bool, arch: int, budgets: int, known: bool
) -> None:
    fns = [random_sum(seed + i, kind=kind, stabilizers=stabilizers) for i in range(budgets)]
    asked = [fn if known or i else (lambda archs, fn=fn: fn(archs)) for i, fn in enumerate(fns)]
    region = _region(SMALL, *((fn, float(fn(ALL_SMALL[arch])[0])) for fn in asked))
    within = np.all([fn(ALL_SMALL) <= fn(ALL_SMALL[arch]) for fn in fns], axis=0)
    count = region.count()
    assert count.exact
    assert count.count == count.low == count.high == within.sum()
    assert count.share == within.sum() / SMALL.size
    assert count.confidence == 1
    assert region.contains(region.anchor[None]).all()
    for name, fn in zip(("cost", "cost1", "cost2"), fns, strict=False):
        least, most = region.extremes(region.problem.objective(name))
        assert (least.value, most.value) == (fn(ALL_SMALL[within]).min(), fn(ALL_SMALL[within]).max())
        assert least.exact
        assert most.exact
        assert fn(least.arch)[0] == least.value


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("budgets", [1, 2, 3])
def test_what_cant_be_listed_is_bounded(seed: int, budgets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _unlisted(monkeypatch)
    fns = [random_sum(seed + i) for i in range(budgets)]
    limits = [float(np.quantile(fn(ALL_SMALL), 0.5)) for fn in fns]
    region = _region(SMALL, *zip(fns, limits, strict=True))
    within = ALL_SMALL[np.all([fn(ALL_SMALL) <= at_most for fn, at_most in zip(fns, limits, strict=True)], axis=0)]
    count = region.count()
    assert count.low <= len(within) <= count.high
    assert count.low <= count.count <= count.high
    assert count.count == pytest.approx(len(within), rel=0.05)
    assert count.share == count.count / SMALL.size
    assert count.confidence == (1 if budgets == 1 or count.exact else 0.999)
    assert 0 < count.acceptance <= 1
    for name, fn in zip(("cost", "cost1", "cost2"), fns, strict=False):
        least, most = region.extremes(region.problem.objective(name))
        truth = fn(within)
        assert least.bound <= truth.min() <= least.value
        assert most.value <= truth.max() <= most.bound
        assert region.contains(np.stack([least.arch, most.arch])).all()
        assert (fn(least.arch)[0], fn(most.arch)[0]) == (least.value, most.value)
    drawn = region.sample(500, np.random.default_rng(seed))
    assert drawn.shape == (500, 5)
    assert region.contains(drawn).all()


def _p_value(drawn: Archs, feasible: Archs) -> float:
    counts = (drawn[:, None] == feasible).all(axis=2).sum(axis=0)
    assert counts.sum() == len(drawn)
    return float(chisquare(counts).pvalue)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("budgets", [1, 2, 3])
def test_draws_are_uniform_within_the_budgets(budgets: int, listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not listed:
        _unlisted(monkeypatch)
    fns = [random_sum(seed) for seed in range(budgets)]
    share = {1: 0.03, 2: 0.12, 3: 0.2}[budgets]
    region = _region(SMALL, *((fn, float(np.quantile(fn(ALL_SMALL), share))) for fn in fns))
    feasible = ALL_SMALL[region.contains(ALL_SMALL)]
    assert 20 < len(feasible) < 200
    rng = np.random.default_rng(0)
    drawn = region.sample(100 * len(feasible), rng)
    assert len(drawn) == 100 * len(feasible)
    assert _p_value(drawn, feasible) > 1e-3
    biased = region.repair(SMALL.sample(100 * len(feasible), rng), rng)
    assert _p_value(biased, feasible) < 1e-9  # the test would notice


@pytest.mark.parametrize("listed", [True, False])
def test_draws_of_a_longer_search_begin_with_those_of_the_shorter(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not listed:
        _unlisted(monkeypatch)
    fn = random_sum(0)
    regions = [_region(SMALL, (fn, float(np.median(fn(ALL_SMALL))))) for _ in range(2)]
    regions[0].count()  # what was asked of a region leaves no trace in its draws
    first, second = (region.sample(50, np.random.default_rng(7)) for region in regions)
    np.testing.assert_array_equal(first, second)


def test_what_a_predictor_says_is_known_to_be_a_sum() -> None:
    """On a space that is far too large to be asked arch by arch, and at a budget that hardly any arch is within."""
    space = get_space("scarlet-s2")
    predictor = LatencyPredictor(made_up_table(space), space.inheriting())
    objective = Objective("latency_ms", predictor, free=True)
    (fastest_ms, slowest_ms) = FeasibleRegion(Problem(space, (objective,))).extremes(objective)
    assert fastest_ms.exact
    assert slowest_ms.exact
    drawn_ms = predictor(space.sample(100_000, 0))
    assert fastest_ms.value < drawn_ms.min() < drawn_ms.max() < slowest_ms.value
    budget_ms = fastest_ms.value + 0.1 * (drawn_ms.min() - fastest_ms.value)
    region = FeasibleRegion(Problem(space, (objective,), (Budget("latency_ms", budget_ms),)))
    drawn = region.sample(1000, np.random.default_rng(0))
    assert (predictor(drawn) <= budget_ms).all()
    assert len(np.unique(drawn, axis=0)) > 900
    count = region.count()
    assert count.low <= count.count <= count.high < 1e-6 * space.size
    assert count.acceptance > 0.9


def test_a_share_agrees_with_plain_sampling() -> None:
    space = get_space("scarlet-s2")
    predictor = LatencyPredictor(made_up_table(space), space)
    drawn_ms = predictor(space.sample(200_000, 0))
    budget_ms = float(np.quantile(drawn_ms, 0.2))
    objective = Objective("latency_ms", predictor, free=True)
    count = FeasibleRegion(Problem(space, (objective,), (Budget("latency_ms", budget_ms),))).count()
    assert count.share == pytest.approx(0.2, abs=5 * (0.2 * 0.8 / 200_000) ** 0.5)
    assert count.high / count.low < 1.01


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


@settings(deadline=None, max_examples=25)
@given(_seeds, st.floats(0, 0.25), st.floats(0, 0.25))
def test_contradicting_budgets_on_sums_are_proven_and_the_nearest_is_named(seed: int, one: float, two: float) -> None:
    fns = [random_sum(seed), random_sum(seed + 1)]
    values = [fn(ALL_SMALL) for fn in fns]
    limits = [float(v.min() + share * np.ptp(v)) for v, share in zip(values, (one, two), strict=True)]
    within = [v <= limit for v, limit in zip(values, limits, strict=True)]
    if (within[0] & within[1]).any():
        assert _region(SMALL, *zip(fns, limits, strict=True)).contains(ALL_SMALL).any()
        return
    with pytest.raises(BudgetError) as error:
        _region(SMALL, *zip(fns, limits, strict=True))
    message = str(error.value)
    assert "\n" not in message
    assert f"no arch of small has cost at most {limits[0]:.6g} and cost1 at most {limits[1]:.6g}" in message
    nearest_two, nearest_one = map(float, re.findall(r"the least cost1? within the \w+ is ([\d.]+)[,;]", message))
    assert values[0][within[1]].min() <= nearest_one <= values[0][within[1]].min() * 1.002
    assert values[1][within[0]].min() <= nearest_two <= values[1][within[0]].min() * 1.002
    _region(SMALL, (fns[0], nearest_one), (fns[1], limits[1]))  # what the message offers is accepted
    _region(SMALL, (fns[0], limits[0]), (fns[1], nearest_two))


def test_three_budgets_of_which_two_contradict() -> None:
    fns = [random_sum(seed) for seed in range(3)]
    values = [fn(ALL_SMALL) for fn in fns]
    limits = [float(v.min()) * 1.001 for v in values[:2]]
    assert not ((values[0] <= limits[0]) & (values[1] <= limits[1])).any()
    with pytest.raises(BudgetError, match=r"cost at most \S+ and cost1 at most \S+: the least"):
        _region(SMALL, (fns[0], limits[0]), (fns[1], limits[1]), (fns[2], float(values[2].max())))


def _random_max(seed: int) -> LayerMax:
    rng = np.random.default_rng(seed)
    costs = {op: float(rng.integers(1, 30)) / 10 for op in SMALL.distinct_ops}
    costs |= {SMALL.stem: 0.1, SMALL.head: 0.1}
    return LayerMax(SMALL.inheriting(), costs.__getitem__)


@settings(deadline=None, max_examples=40)
@given(_seeds, st.integers(0, len(ALL_SMALL) - 1), st.floats(0, 0.3))
def test_a_limit_on_the_largest_step(seed: int, arch: int, share: float) -> None:
    """Such as peak memory: it bars steps, so it costs no exactness. Contradictions are proven as for sums."""
    largest, fn = _random_max(seed), random_sum(seed)
    peaks, sums = largest(ALL_SMALL), fn(ALL_SMALL)
    limits = (float(peaks[arch]), float(sums.min() + share * np.ptp(sums)))
    within = (peaks <= limits[0]) & (sums <= limits[1])
    if within.any():
        region = _region(SMALL, (largest, limits[0]), (fn, limits[1]))
        assert region.count().count == within.sum()
        assert region.contains(region.sample(50, np.random.default_rng(0))).all()
        return
    with pytest.raises(BudgetError, match=r"no arch of small has cost at most") as error:
        _region(SMALL, (largest, limits[0]), (fn, limits[1]))
    nearest_sum, nearest_peak = map(float, re.findall(r"least cost1? within the \w+ is ([\d.]+)[,;]", str(error.value)))
    assert nearest_sum == pytest.approx(sums[peaks <= limits[0]].min(), rel=1e-3)
    assert nearest_peak == pytest.approx(peaks[sums <= limits[1]].min(), rel=1e-3)


def test_draws_within_a_limit_on_the_largest_step_are_uniform_and_none_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _unlisted(monkeypatch)
    largest = _random_max(3)
    region = _region(SMALL, (largest, float(np.quantile(largest(ALL_SMALL), 0.01))))
    feasible = ALL_SMALL[region.contains(ALL_SMALL)]
    assert 5 < len(feasible) < 500
    count = region.count()
    assert (count.count, count.exact, count.acceptance) == (len(feasible), True, 1)
    assert _p_value(region.sample(100 * len(feasible), np.random.default_rng(0)), feasible) > 1e-3
