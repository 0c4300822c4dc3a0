"""The region against enumeration: the fastest arch, counts, draws, extremes, repair, and budgets that can't be met.

Sums that are known as such (``LayerSum``) are on the grid; other functions are asked arch by arch.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hwnas.arrays import Archs
from hwnas.errors import BudgetError
from hwnas.ops.mbconv import MBConv
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.prediction.costs import LayerSum
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.chain import Stage, assemble
from hwnas.space.registry import get_space
from hwnas.space.scarlet import mbconv_choices
from tests.optimize.feasible.regions import region_of, unknown, unlisted
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, table
from tests.optimize.sums import ALL_SMALL, SMALL, random_max, random_sum
from tests.tables.make import made_up_table

_seeds = st.integers(0, 2**32 - 1)
_kinds = st.sampled_from(["real", "tenths", "whole"])


@settings(deadline=None, max_examples=30)
@given(_seeds, st.floats(0, 0.6))
def test_repair_keeps_what_is_within_and_mends_the_rest(seed: int, looseness: float) -> None:
    fn = layer_sum(MACRO, table(MACRO, seed))
    low, high = fn(ALL_MACRO).min(), fn(ALL_MACRO).max()
    region = region_of(MACRO, (fn, low + looseness * (high - low)))
    archs = MACRO.sample(64, seed)
    repaired = region.repair(archs, np.random.default_rng(seed))
    over = ~region.contains(archs)
    assert over.any()
    assert region.contains(repaired).all()
    np.testing.assert_array_equal(repaired[~over], archs[~over])


def test_repair_changes_no_more_layers_than_needed() -> None:
    region = region_of(MACRO, (lambda archs: archs.sum(axis=1) + 1.0, 9.0))
    repaired = region.repair(np.full((50, 8), 2), np.random.default_rng(0))
    np.testing.assert_array_equal((repaired != 2).sum(axis=1), np.full(50, 4))
    assert len(np.unique(repaired, axis=0)) > 20  # which layers is random


@settings(deadline=None, max_examples=30)
@given(_seeds, st.integers(0, len(ALL_SMALL) - 1), st.integers(1, 3))
def test_repair_along_sums_changes_one_layer_where_that_is_enough(seed: int, arch: int, budgets: int) -> None:
    fns = [random_sum(seed + i) for i in range(budgets)]
    region = region_of(SMALL, *((fn, float(fn(ALL_SMALL[arch])[0])) for fn in fns))
    within = region.contains(ALL_SMALL)
    archs = ALL_SMALL[np.random.default_rng(seed).choice(len(ALL_SMALL), 100)]
    repaired = region.repair(archs, np.random.default_rng(seed))
    assert region.contains(repaired).all()
    for before, after in zip(archs, repaired, strict=True):
        fewest = (ALL_SMALL[within] != before).sum(axis=1).min()
        changed = (before != after).sum()
        assert changed == fewest if fewest < 2 else changed >= fewest


@settings(deadline=None, max_examples=40)
@given(_seeds, _kinds, st.booleans(), st.integers(0, len(ALL_SMALL) - 1), st.integers(1, 3), st.booleans())
@example(1, "tenths", True, 2499, 1, False)  # a descent from the first arch ends above this budget
def test_counts_and_extremes_are_those_of_enumeration(
    seed: int, kind: str, stabilizers: bool, arch: int, budgets: int, known: bool
) -> None:
    fns = [random_sum(seed + i, kind=kind, stabilizers=stabilizers) for i in range(budgets)]
    asked = [fn if known or i else unknown(fn) for i, fn in enumerate(fns)]
    region = region_of(SMALL, *((fn, float(fn(ALL_SMALL[arch])[0])) for fn in asked))
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
    unlisted(monkeypatch)
    fns = [random_sum(seed + i) for i in range(budgets)]
    limits = [float(np.quantile(fn(ALL_SMALL), 0.5)) for fn in fns]
    region = region_of(SMALL, *zip(fns, limits, strict=True))
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
        unlisted(monkeypatch)
    fns = [random_sum(seed) for seed in range(budgets)]
    share = {1: 0.03, 2: 0.12, 3: 0.2}[budgets]
    region = region_of(SMALL, *((fn, float(np.quantile(fn(ALL_SMALL), share))) for fn in fns))
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
        unlisted(monkeypatch)
    fn = random_sum(0)
    regions = [region_of(SMALL, (fn, float(np.median(fn(ALL_SMALL))))) for _ in range(2)]
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


@settings(deadline=None, max_examples=40)
@given(_seeds, st.integers(0, len(ALL_SMALL) - 1), st.floats(0, 0.3))
def test_a_limit_on_the_largest_step(seed: int, arch: int, share: float) -> None:
    """Such as peak memory: it bars steps, so it costs no exactness. Contradictions are proven as for sums."""
    largest, fn = random_max(seed), random_sum(seed)
    peaks, sums = largest(ALL_SMALL), fn(ALL_SMALL)
    limits = (float(peaks[arch]), float(sums.min() + share * np.ptp(sums)))
    within = (peaks <= limits[0]) & (sums <= limits[1])
    if within.any():
        region = region_of(SMALL, (largest, limits[0]), (fn, limits[1]))
        assert region.count().count == within.sum()
        assert region.contains(region.sample(50, np.random.default_rng(0))).all()
        return
    with pytest.raises(BudgetError, match=r"no arch of small has cost at most") as error:
        region_of(SMALL, (largest, limits[0]), (fn, limits[1]))
    nearest_sum, nearest_peak = map(float, re.findall(r"least cost1? within the \w+ is ([\d.]+)[,;]", str(error.value)))
    assert nearest_sum == pytest.approx(sums[peaks <= limits[0]].min(), rel=1e-3)
    assert nearest_peak == pytest.approx(peaks[sums <= limits[1]].min(), rel=1e-3)


def test_draws_within_a_limit_on_the_largest_step_are_uniform_and_none_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unlisted(monkeypatch)
    largest = random_max(3)
    region = region_of(SMALL, (largest, float(np.quantile(largest(ALL_SMALL), 0.01))))
    feasible = ALL_SMALL[region.contains(ALL_SMALL)]
    assert 5 < len(feasible) < 500
    count = region.count()
    assert (count.count, count.exact, count.acceptance) == (len(feasible), True, 1)
    assert _p_value(region.sample(100 * len(feasible), np.random.default_rng(0)), feasible) > 1e-3


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.02, 0.5, None])
def test_extremes_of_the_largest_step_are_known_without_listing(
    seed: int, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the whole space for certain; within a budget on a sum nothing goes beyond these."""
    unlisted(monkeypatch)
    largest, fn = random_max(seed), random_sum(seed)
    peaks, sums = largest(ALL_SMALL), fn(ALL_SMALL)
    at_most = float(sums.max() * 2 if share is None else np.quantile(sums, share))
    region = FeasibleRegion(
        Problem(
            SMALL,
            (Objective("peak", largest, free=True), Objective("cost", fn, free=True)),
            (Budget("cost", at_most),),
        )
    )
    least, most = region.extremes(region.problem.objective("peak"))
    within = peaks[sums <= at_most]
    assert (least.bound, most.bound) == (peaks.min(), peaks.max())
    assert least.value >= within.min() >= least.bound
    assert most.value <= within.max() <= most.bound
    if share is None:
        assert least.exact
        assert most.exact


def test_counts_that_float64_rounds_are_told_as_what_they_lie_between() -> None:
    """Against products of polynomials in Python's integers."""
    space = assemble(
        name="deep",
        source="deep",
        stem=SMALL.stem,
        stages=[Stage(c_out=8, layers=48, stride=1)],
        choices=mbconv_choices((3, 5), (1, 2), (False,), "hswish", skip=True),
        head_width=24,
        classes=10,
        act="relu6",
    )
    assert space.size > 10**33
    fn = LayerSum(space, lambda op: float(op.kernel * op.expansion) if isinstance(op, MBConv) else 0.0)
    ways = {0: 1}
    for costs in fn.steps.costs[:, :, 0]:
        longer: dict[int, int] = {}
        for total, count in ways.items():
            for cost in costs:
                longer[total + int(cost)] = longer.get(total + int(cost), 0) + count
        ways = longer
    objective = Objective("cost", fn, free=True)
    for at_most in (200, 300, 10_000):
        truth = sum(count for total, count in ways.items() if total <= at_most)
        count = FeasibleRegion(Problem(space, (objective,), (Budget("cost", at_most),))).count()
        assert truth > 10**28
        assert count.low <= truth <= count.high
        assert not count.exact
        assert count.count == pytest.approx(truth, rel=1e-6)
        assert 0 < count.share <= 1
    everything = FeasibleRegion(Problem(space, (objective,))).count()
    assert (everything.count, everything.exact) == (space.size, True)
