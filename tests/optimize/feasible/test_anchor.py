"""An arch within the budgets, or why there is none: proven against enumeration, or told as what was found."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partialmethod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.arrays import Archs, Values
from hwnas.errors import BudgetError
from hwnas.optimize.feasible.limits import Limits
from tests.optimize.feasible.regions import region_of, unknown, unlisted
from tests.optimize.problems import ALL_MACRO, MACRO, layer_sum, table
from tests.optimize.sums import ALL_SMALL, SMALL, random_max, random_sum

_seeds = st.integers(0, 2**32 - 1)


def test_an_impossible_budget_says_what_is_possible() -> None:
    fn = layer_sum(MACRO, table(MACRO, 3))
    low = fn(ALL_MACRO).min()
    with pytest.raises(BudgetError) as error:
        region_of(MACRO, (fn, low * 0.99))
    message = str(error.value)
    assert "\n" not in message
    assert ",".join(map(str, ALL_MACRO[fn(ALL_MACRO).argmin()])) in message
    assert f"{low:.6g}" in message
    assert "right unit" not in message
    (nearest,) = re.findall(r"give at least (\S+)$", message)
    assert low <= float(nearest) <= low * 1.001
    region = region_of(MACRO, (fn, float(nearest)))  # what the message offers is accepted
    assert region.contains(region.anchor[None]).all()


@pytest.mark.parametrize(("name", "unit"), [("latency_ms", "milliseconds"), ("latency_us", "microseconds")])
def test_a_budget_in_the_wrong_unit_gets_a_hint(name: str, unit: str) -> None:
    fn = layer_sum(MACRO, table(MACRO, 3))
    middle = float(np.median(fn(ALL_MACRO)))
    for factor in (1e-3, 1e3):
        with pytest.raises(BudgetError, match=unit) as error:
            region_of(MACRO, (fn, middle * factor), name=name)
        assert "\n" not in str(error.value)
    region_of(MACRO, (fn, middle * 30), name=name)  # merely loose
    region_of(MACRO, (fn, middle * 1e3), name="madds")  # loose, and no unit of time to confuse


@settings(deadline=None, max_examples=20)
@given(_seeds)
def test_an_arch_within_several_budgets_is_found(seed: int) -> None:
    one, two = layer_sum(MACRO, table(MACRO, seed)), layer_sum(MACRO, table(MACRO, seed + 1))
    reachable = MACRO.sample(1, seed)
    region = region_of(MACRO, (one, 1.1 * one(reachable)[0]), (two, 1.1 * two(reachable)[0]))
    assert one(region.anchor[None])[0] <= 1.1 * one(reachable)[0]
    assert two(region.anchor[None])[0] <= 1.1 * two(reachable)[0]
    assert region.contains(region.repair(MACRO.sample(50, 1), np.random.default_rng(0))).all()


def test_budgets_in_conflict_are_named() -> None:
    up, down = (lambda archs: archs.sum(axis=1) + 1.0), (lambda archs: 17.0 - archs.sum(axis=1))
    region_of(MACRO, (up, 9), (down, 9))
    with pytest.raises(BudgetError, match=r"all budgets at once.*cost1? \S+, over its budget of \d") as error:
        region_of(MACRO, (up, 8), (down, 9))
    assert "\n" not in str(error.value)


@settings(deadline=None, max_examples=25)
@given(_seeds, st.floats(0, 0.25), st.floats(0, 0.25))
def test_contradicting_budgets_on_sums_are_proven_and_the_nearest_is_named(seed: int, one: float, two: float) -> None:
    fns = [random_sum(seed), random_sum(seed + 1)]
    values = [fn(ALL_SMALL) for fn in fns]
    limits = [float(v.min() + share * np.ptp(v)) for v, share in zip(values, (one, two), strict=True)]
    within = [v <= limit for v, limit in zip(values, limits, strict=True)]
    if (within[0] & within[1]).any():
        assert region_of(SMALL, *zip(fns, limits, strict=True)).contains(ALL_SMALL).any()
        return
    with pytest.raises(BudgetError) as error:
        region_of(SMALL, *zip(fns, limits, strict=True))
    message = str(error.value)
    assert "\n" not in message
    assert f"no arch of small has cost at most {limits[0]:.6g} and cost1 at most {limits[1]:.6g}" in message
    told = re.findall(r"the least cost1?( found|) within the \w+ is ([\d.]+)[,;]", message)
    for (found, nearest), truth in zip(told, (values[1][within[0]].min(), values[0][within[1]].min()), strict=True):
        assert truth <= float(nearest) <= truth * (1.002 if found else 1.001)  # the least is told to 4 digits
    nearest_two, nearest_one = (float(nearest) for _, nearest in told)
    region_of(SMALL, (fns[0], nearest_one), (fns[1], limits[1]))  # what the message offers is accepted
    region_of(SMALL, (fns[0], limits[0]), (fns[1], nearest_two))


def test_on_a_coarse_grid_what_is_near_is_said_to_be_the_least_only_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Limits, "grid_of", partialmethod(Limits.grid_of, cells=3))
    told = []
    for seed in range(30):
        fns = [random_sum(seed), random_sum(seed + 1)]
        values = [fn(ALL_SMALL) for fn in fns]
        limits = [float(v.min() + 0.03 * np.ptp(v)) for v in values]
        within = [v <= limit for v, limit in zip(values, limits, strict=True)]
        if (within[0] & within[1]).any():
            continue
        with pytest.raises(BudgetError) as error:
            region_of(SMALL, *zip(fns, limits, strict=True))
        truth = {"cost": values[0][within[1]].min(), "cost1": values[1][within[0]].min()}
        for name, found, nearest in re.findall(
            r"the least (cost1?)( found|) within the \w+ is ([\d.]+)", str(error.value)
        ):
            assert truth[name] <= float(nearest)
            assert found or float(nearest) <= truth[name] * 1.001
            told.append(found)
    assert set(told) == {"", " found"}


def test_three_budgets_of_which_two_contradict() -> None:
    fns = [random_sum(seed) for seed in range(3)]
    values = [fn(ALL_SMALL) for fn in fns]
    limits = [float(v.min()) * 1.001 for v in values[:2]]
    assert not ((values[0] <= limits[0]) & (values[1] <= limits[1])).any()
    with pytest.raises(BudgetError, match=r"cost at most \S+ and cost1 at most \S+: the least"):
        region_of(SMALL, (fns[0], limits[0]), (fns[1], limits[1]), (fns[2], float(values[2].max())))


def _looked_up(values: Values) -> Callable[[Archs], Values]:
    """A function of macro's archs that is only known by its (6561,) values."""
    return lambda archs: values[archs @ 3 ** np.arange(7, -1, -1)]


@settings(deadline=None, max_examples=30)
@given(_seeds, st.integers(0, len(ALL_MACRO) - 1))
def test_of_any_function_of_few_archs_the_least_is_known(seed: int, rank: int) -> None:
    """Random values have hundreds of local minima, at which descents end."""
    values = np.random.default_rng(seed).uniform(1, 2, len(ALL_MACRO))
    at_most = float(np.sort(values)[rank // 100])
    region = region_of(MACRO, (_looked_up(values), at_most))
    assert values[region.anchor @ 3 ** np.arange(7, -1, -1)] <= at_most
    least = ",".join(map(str, ALL_MACRO[values.argmin()]))
    with pytest.raises(BudgetError, match=rf"^no arch of macro has cost at most \S+: the least \({least}\) has"):
        region_of(MACRO, (_looked_up(values), float(values.min()) * 0.9999))


def _two_valleys(archs: Archs) -> Values:
    """A descent from the first arch ends where it began, at 1; from the last one it ends at 0.5."""
    twos = (archs == 2).sum(axis=1)
    return np.where(twos >= 5, 4.5 - 0.5 * twos, 1.0 + twos)


@pytest.mark.parametrize("others", [0, 1])
def test_of_any_function_of_many_archs_several_descents_look_for_it(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlisted(monkeypatch)
    loose = (layer_sum(MACRO, table(MACRO, 3)), 17.0)
    region = region_of(MACRO, (_two_valleys, 0.5), *[loose] * others)
    np.testing.assert_array_equal(region.anchor, np.full(8, 2))


def test_what_no_descent_finds_isnt_said_not_to_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """One arch in 6,561 is within, and nothing points to it."""
    hidden = np.array([0, 1, 2, 0, 1, 2, 0, 1])

    def fn(archs: Archs) -> Values:
        return np.where((archs == hidden).all(axis=1), 1.0, 3.0 + 0.1 * (archs == hidden).sum(axis=1))

    np.testing.assert_array_equal(region_of(MACRO, (fn, 2)).anchor, hidden)
    unlisted(monkeypatch)
    monkeypatch.setattr("hwnas.optimize.feasible.anchor._DRAWN", 5)
    sums = layer_sum(MACRO, table(MACRO, 3))
    for others in ([], [(sums, float(sums(hidden[None])[0]))]):
        with pytest.raises(BudgetError) as error:
            region_of(MACRO, (fn, 2), *others, name="latency_ms")
        told = (
            r"no arch of macro was found that has latency_ms at most 2: the fastest found \(\S+\) has 3\S*, so give.*"
        )
        assert re.fullmatch(told, str(error.value))
    region = region_of(MACRO, (fn, 3))  # what the message offers is accepted
    assert region.contains(region.anchor[None]).all()


def test_of_an_unknown_slowest_it_is_said_that_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All archs but one take 1 to 2 ms, one takes 2 s: a budget of 1500 ms is no mistake, as far as is known."""
    values = np.linspace(1, 2, len(ALL_MACRO))
    values[1234] = 2000
    region = region_of(MACRO, (_looked_up(values), 1500), name="latency_ms")
    assert region.count().count == len(ALL_MACRO) - 1
    unlisted(monkeypatch)
    with pytest.raises(BudgetError, match=r"^every arch tried of macro has .* \(the slowest found 2\), so the budget"):
        region_of(MACRO, (_looked_up(values), 1500), name="latency_ms")


@settings(deadline=None, max_examples=30)
@given(_seeds)
def test_the_slowest_of_a_maximum_is_known(seed: int) -> None:
    largest = random_max(seed)
    peaks = largest(ALL_SMALL)
    with pytest.raises(BudgetError, match=rf"^every arch of small has .* \(the slowest {peaks.max():g}\)"):
        region_of(SMALL, (largest, 1000 * float(peaks.max())), name="latency_ms")
    with pytest.raises(BudgetError, match=rf"^no arch of small has .*: the fastest \(\S+\) has {peaks.min():g}, so"):
        region_of(SMALL, (largest, float(peaks.min()) * 0.99), name="latency_ms")


@pytest.mark.parametrize("listed", [True, False])
def test_two_budgets_of_which_one_is_unknown_are_refused_as_far_as_is_known(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not listed:
        unlisted(monkeypatch)
    fns = [random_sum(0), random_sum(1)]
    limits = [float(fn(ALL_SMALL).min()) * 1.001 for fn in fns]
    assert not np.all([fn(ALL_SMALL) <= limit for fn, limit in zip(fns, limits, strict=True)], axis=0).any()
    with pytest.raises(BudgetError) as error:
        region_of(SMALL, (unknown(fns[0]), limits[0]), (fns[1], limits[1]))
    words = "there is no arch of small within" if listed else "found no arch of small within"
    assert str(error.value).startswith(
        f"{words} all budgets at once, though each alone can be met: the nearest found has"
    )
