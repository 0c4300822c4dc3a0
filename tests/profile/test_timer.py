"""The measuring loop, against calls whose durations are known or scripted."""

from __future__ import annotations

import gc
import itertools
import time
from collections import Counter

import numpy as np
import pytest

from hwnas.profile import timer
from hwnas.profile.timer import measure


def test_every_call_runs_as_often_as_said_and_in_changing_order() -> None:
    log: list[str] = []
    calls = {name: (lambda name=name: log.append(name)) for name in "abcdefgh"}
    ticks: list[tuple[int, int]] = []
    stats = measure(
        calls, rounds=5, runs_per_round=3, warmup_runs=2, rng=np.random.default_rng(0),
        progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    assert Counter(log) == dict.fromkeys("abcdefgh", 2 + 5 * (1 + 3))
    assert {entry.count for entry in stats.latency.values()} == {15}
    assert ticks == [(i, 5) for i in range(1, 6)]
    rounds = log[2 * 8 :]
    orders = {tuple(rounds[start : start + 32 : 4]) for start in range(0, len(rounds), 32)}
    assert len(orders) == 5
    assert all(sorted(order) == list("abcdefgh") for order in orders)


def test_statistics_are_percentiles_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    durations_ns = list(range(1_000_000, 12_000_000, 1_000_000))  # 1 … 11 ms
    edges = [0, *itertools.accumulate(itertools.chain.from_iterable((d, 7) for d in durations_ns))]
    clock = iter([v for pair in zip(edges[0::2], edges[1::2], strict=False) for v in pair])
    monkeypatch.setattr(timer.time, "perf_counter_ns", lambda: next(clock))
    stats = measure(
        {0: lambda: None}, rounds=1, runs_per_round=11, warmup_runs=0, rng=np.random.default_rng(0)
    ).latency[0]
    assert (stats.p50_ms, stats.p10_ms, stats.p90_ms, stats.count) == (6.0, 2.0, 10.0, 11)
    assert stats.spread == pytest.approx(8 / 12)


def test_short_calls_get_more_rounds() -> None:
    stats = measure(
        {0: lambda: time.sleep(0.001)}, rounds=2, runs_per_round=3, warmup_runs=0, rng=np.random.default_rng(0),
        at_least_s=0.2,
    ).latency[0]  # fmt: skip
    assert 2 * 3 < stats.count <= 0.2 / 0.004 * 3 + 3
    assert stats.count % 3 == 0


def test_one_slow_run_does_not_move_the_median() -> None:
    slow = itertools.count()
    stats = measure(
        {0: lambda: time.sleep(0.03 if next(slow) == 10 else 0.001)},
        rounds=4, runs_per_round=5, warmup_runs=1, rng=np.random.default_rng(0),
    ).latency[0]  # fmt: skip
    assert 1.0 <= stats.p50_ms < 10


def test_garbage_collection_is_off_while_timing_and_on_again_after_a_failure() -> None:
    seen = []

    def call() -> None:
        seen.append(gc.isenabled())
        if len(seen) > 4:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure({0: call}, rounds=9, runs_per_round=2, warmup_runs=0, rng=np.random.default_rng(0))
    assert seen == [False] * 5
    assert gc.isenabled()


def test_unsteadiness_is_half_the_range_of_the_machines_speed() -> None:
    """Two calls of 1 and 3 units, on a machine that is 50 % slower every fourth round."""
    slow = np.where(np.arange(400) % 4 == 0, 1.5, 1.0)
    samples = np.array([1000, 3000])[:, None, None] * slow[None, :, None] * np.ones((1, 1, 5))
    assert timer._unsteadiness(samples, seconds=400.0) == pytest.approx(0.25)
    assert timer._unsteadiness(samples, seconds=100.0) == pytest.approx(0)  # each second has one slow round in four
    steady = np.full((2, 50, 5), 1000)
    assert timer._unsteadiness(steady, seconds=50.0) == 0


def test_more_runs_of_one_call_are_not_unsteadiness() -> None:
    found = measure(
        {"a": lambda: time.sleep(0.001), "b": lambda: time.sleep(0.004)},
        rounds=5, runs_per_round=2, warmup_runs=0, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert 0 <= found.unsteadiness_90 < 0.5
