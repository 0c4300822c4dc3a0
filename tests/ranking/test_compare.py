"""Rank correlations and their intervals, against scipy, closed forms and simulations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from hwnas.arrays import Values
from hwnas.errors import DataError
from hwnas.graph.count import count
from hwnas.ops.mbconv import MBConv
from hwnas.ranking import correlation
from hwnas.ranking.compare import Evidence, baselines, compare
from hwnas.ranking.correlation import Column, kendall_tau, resampled, spearman
from hwnas.ranking.truth import read_truth
from hwnas.records.rank import Estimate, Ranking
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space


def evidence(truth: Values, scores: Mapping[str, Values], sizes: Mapping[str, Values] | None = None) -> Evidence:
    """Scores (N,) of a made-up space, beside made-up baselines."""
    truth = truth if truth.ndim == 2 else truth[:, None]
    sizes = sizes or {"depth": np.arange(len(truth)) % 7.0}
    return Evidence(archs=np.zeros((len(truth), 1), dtype=np.int64), truth=truth, supernets=scores, baselines=sizes)


def correlated(rng: np.random.Generator, count: int, r: float) -> tuple[Values, Values]:
    x = rng.standard_normal(count)
    return x, r * x + np.sqrt(1 - r**2) * rng.standard_normal(count)


_scores = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=3, max_size=30)


@settings(deadline=None, max_examples=60)
@given(_scores, st.integers(0, 2**32 - 1))
def test_both_are_scipys_in_every_resample_ties_included(pairs: list[tuple[int, int]], seed: int) -> None:
    x, y = np.array(pairs, dtype=np.float64).T
    drawn = resampled(len(x), 5, np.random.default_rng(seed))
    a, b = Column(drawn, x), Column(drawn, y)
    assert drawn[0].tolist() == [1] * len(x)
    assert (drawn.sum(axis=1) == len(x)).all()
    for weights, tau, rho in zip(drawn, kendall_tau(a, b), spearman(a, b), strict=True):
        repeated_x, repeated_y = (np.repeat(values, weights.astype(int)) for values in (x, y))
        if np.ptp(repeated_x) == 0 or np.ptp(repeated_y) == 0:
            assert np.isnan([tau, rho]).all()
        else:
            assert tau == pytest.approx(kendalltau(repeated_x, repeated_y).statistic, abs=1e-12)
            assert rho == pytest.approx(spearmanr(repeated_x, repeated_y).statistic, abs=1e-12)


def test_pairs_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = (values.round(1) for values in correlated(rng, 50, 0.5))
    drawn = resampled(50, 20, rng)
    whole = kendall_tau(Column(drawn, x), Column(drawn, y))
    monkeypatch.setattr(correlation, "_ROWS_AT_ONCE", 7)
    assert kendall_tau(Column(drawn, x), Column(drawn, y)).tolist() == whole.tolist()


def test_closed_forms() -> None:
    truth = np.linspace(0.1, 0.9, 60)
    found = compare(evidence(truth, {"same": truth**2, "reversed": -truth, "equal": np.ones(60)}), seed=0)
    for part in (found.whole, found.top):
        assert part is not None
        for name, value in (("same", 1.0), ("reversed", -1.0)):
            for estimate in (part.correlations[name].kendall_tau, part.correlations[name].spearman):
                assert [estimate.value, estimate.low, estimate.high] == pytest.approx([value] * 3, abs=1e-12)
        undefined = Estimate(value=None, low=None, high=None)
        assert part.correlations["equal"].kendall_tau == part.leads["equal"] == undefined
    assert Ranking.model_validate_json(json.dumps(found.plain(), allow_nan=False)) == found


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Bivariate normal scores: τ is 2/π·asin r and ρ is 6/π·asin(r/2) of the population that archs are drawn from."""
    rng, r, simulations = np.random.default_rng(1), 0.6, 200
    tau, rho = 2 / np.pi * np.arcsin(r), 6 / np.pi * np.arcsin(r / 2)
    inside = np.zeros(2)
    for _ in range(simulations):
        x, y = correlated(rng, 60, r)
        drawn = resampled(60, 300, rng)
        for index, (of, value) in enumerate(((kendall_tau, tau), (spearman, rho))):
            low, high = np.quantile(of(Column(drawn, x), Column(drawn, y))[1:], [0.025, 0.975])
            inside[index] += low <= value <= high
    assert (inside / simulations > 0.90).all()
    assert (inside / simulations < 0.985).all()


def test_the_intervals_given_are_quantiles_of_the_resamples() -> None:
    rng = np.random.default_rng(2)
    truth, score = correlated(rng, 45, 0.7)
    found = compare(evidence(truth, {"s": score}), seed=9, resamples=500).whole.correlations["s"]
    resamples = []
    for _ in range(3000):
        rows = rng.integers(0, 45, 45)
        resamples.append(kendalltau(truth[rows], score[rows]).statistic)
    low, high = np.quantile(resamples, [0.025, 0.975])
    assert found.kendall_tau.value == pytest.approx(kendalltau(truth, score).statistic)
    assert found.kendall_tau.low == pytest.approx(low, abs=0.03)
    assert found.kendall_tau.high == pytest.approx(high, abs=0.03)


def test_the_lead_over_the_best_baseline_is_paired() -> None:
    """A score that is all but a baseline leads it by all but nothing, however wide the interval of each."""
    rng = np.random.default_rng(3)
    truth, size = correlated(rng, 80, 0.5)
    near = size + 0.01 * rng.standard_normal(80)
    sizes = {"depth": size, "madds": rng.standard_normal(80), "params": np.zeros(80)}
    found = compare(evidence(truth, {"same": size, "near": near}, sizes), seed=0)
    assert found.whole.best_baseline == "depth"
    assert (found.whole.leads["same"].low, found.whole.leads["same"].high) == (0, 0)
    lead, own = found.whole.leads["near"], found.whole.correlations["near"].kendall_tau
    assert lead.value == pytest.approx(kendalltau(near, truth).statistic - kendalltau(size, truth).statistic)
    assert lead.low < lead.value < lead.high
    assert lead.high - lead.low < 0.3 * (own.high - own.low)


def test_the_best_fifth_is_by_truth_and_has_a_best_baseline_of_its_own() -> None:
    rng = np.random.default_rng(4)
    truth, score = correlated(rng, 101, 0.8)
    top = np.argsort(-truth)[:20]
    inverse = -truth  # a baseline that is the worst overall, and the best among the best: there the other is constant
    inverse[top] = truth[top]
    flat = truth.copy()
    flat[top] = truth.max()
    found = compare(evidence(truth, {"s": score}, {"depth": flat, "params": inverse}), seed=0)
    assert found.top is not None
    assert (found.whole.archs, found.top.archs) == (101, 20)
    assert found.top.correlations["s"].kendall_tau.value == pytest.approx(kendalltau(score[top], truth[top]).statistic)
    assert found.top.correlations["s"].spearman.value == pytest.approx(spearmanr(score[top], truth[top]).statistic)
    assert (found.whole.best_baseline, found.top.best_baseline) == ("depth", "params")


def test_a_best_fifth_of_fewer_than_ten_is_not_ranked() -> None:
    truth = np.linspace(0, 1, 47)
    assert compare(evidence(truth, {"s": truth}), seed=0).top is None  # 9 archs
    truth = np.linspace(0, 1, 50)
    top = compare(evidence(truth, {"s": truth}), seed=0).top
    assert top is not None
    assert top.archs == 10


def test_the_ceiling_is_the_mean_over_pairs_of_trainings() -> None:
    rng = np.random.default_rng(5)
    quality = rng.uniform(0.5, 0.9, 70)
    trainings = quality[:, None] + 0.03 * rng.standard_normal((70, 3))
    found = compare(evidence(trainings, {"s": quality}), seed=0)
    assert found.whole.ceiling is not None
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([kendalltau(trainings[:, a], trainings[:, b]).statistic for a, b in pairs])
    ceiling = found.whole.ceiling.kendall_tau
    assert ceiling.value == pytest.approx(expected)
    assert ceiling.low < expected < ceiling.high
    mean = kendalltau(quality, trainings.mean(axis=1)).statistic
    assert found.whole.correlations["s"].kendall_tau.value == pytest.approx(mean)
    assert compare(evidence(trainings[:, 0], {"s": quality}), seed=0).whole.ceiling is None


def test_picks_are_the_highest_scores() -> None:
    truth = np.arange(30) / 30
    score = np.zeros(30)
    score[3], score[[1, 5, 7, 20, 2, 4, 6, 8, 9]] = 2, 1
    found = compare(evidence(truth, {"s": score}), seed=0)
    assert found.picks["s"].top_1 == 3 / 30
    assert found.picks["s"].top_10 == 20 / 30
    assert found.best_accuracy == 29 / 30


def test_equal_scores_are_picked_from_at_random() -> None:
    """Not by the order of archs, which says something of their size."""
    truth = np.arange(40) / 40
    picked = [compare(evidence(truth, {"s": np.ones(40)}), seed, resamples=1).picks["s"].top_1 for seed in range(40)]
    assert len(set(picked)) > 10
    assert 0.3 < np.mean(picked) < 0.7


@pytest.mark.parametrize("digits", [1, 9])  # of the truth: with many ties, with none
def test_random_is_what_random_orders_reach(digits: int) -> None:
    rng = np.random.default_rng(6)
    truth = rng.uniform(size=40).round(digits)
    found = compare(evidence(truth, {"s": truth}), seed=0, resamples=1)
    orders = [rng.permutation(40) for _ in range(1000)]
    chance = found.whole.correlations["random"]
    for estimate, of in ((chance.kendall_tau, kendalltau), (chance.spearman, spearmanr)):
        values = np.array([of(order, truth).statistic for order in orders])
        low, high = np.quantile(values, [0.025, 0.975])
        assert [estimate.value, estimate.low, estimate.high] == pytest.approx([0, low, high], abs=0.035)
    best = np.mean([truth[order[:10]].max() for order in orders])
    assert found.picks["random"].top_1 == pytest.approx(truth.mean())
    assert found.picks["random"].top_10 == pytest.approx(best, abs=0.008)


@pytest.mark.parametrize("source", ["macro", "macro-w8", "scarlet-s2"])
def test_baselines_are_those_of_the_plain_networks(source: str) -> None:
    space = get_space(source)
    archs = space.sample(20, seed=1)
    archs[0] = [len(choices) - 1 for choices in space.layers]
    found = baselines(space, archs)
    assert list(found) == ["depth", "madds", "params"]
    for row, arch in enumerate(archs):
        graph = space.graph(arch)
        assert found["depth"][row] == sum(isinstance(op, MBConv) for op in graph.ops)
        counted = count(graph)
        assert (found["madds"][row], found["params"][row]) == (counted.madds, counted.params)


def test_yardsticks_of_all_networks_of_nas_bench_macro(shared_data: Path) -> None:
    space = get_space("macro")
    truth = read_truth(shared_data / "nas_bench_macro_cifar10.json.gz", space)
    sizes = baselines(space, truth.archs)
    everything = Evidence(archs=truth.archs, truth=truth.accuracies, supernets={"depth again": sizes["depth"]},
                          baselines=sizes)  # fmt: skip
    found = compare(everything, seed=0, resamples=2).whole
    taus = {name: round(correlations.kendall_tau.value, 3) for name, correlations in found.correlations.items()}
    assert (taus["depth"], taus["madds"], taus["params"]) == (0.693, 0.556, 0.218)
    assert found.ceiling is not None
    assert round(found.ceiling.kendall_tau.value, 2) == 0.88
    assert found.leads["depth again"].value == 0


def test_the_same_seed_gives_the_same(small_space: ChainSpace) -> None:
    rng = np.random.default_rng(7)
    archs = small_space.sample(60, 0)
    known = Evidence(archs=archs, truth=rng.uniform(size=(60, 2)), supernets={"s": rng.uniform(size=60)},
                     baselines=baselines(small_space, archs))  # fmt: skip

    def found(seed: int) -> Ranking:
        return compare(known, seed, resamples=50)

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_what_has_no_order_is_refused() -> None:
    with pytest.raises(DataError, match=r"9 archs .* takes 10 or more"):
        compare(evidence(np.linspace(0, 1, 9), {"s": np.arange(9.0)}), seed=0)
    with pytest.raises(DataError, match=r"all 12 archs have the same true accuracy, 0\.5000"):
        compare(evidence(np.full(12, 0.5), {"s": np.arange(12.0)}), seed=0)
