"""The measuring loop, on a scripted machine: its clock is ours, and each call takes as long as the script says."""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwnas.profiling.timer
from hwnas.errors import ConfigError
from hwnas.profiling.timer import ClockError, Effort, Measurement, Round, measure, summarize

MS = 1_000_000


class Machine:
    """A clock, and calls that push it forward: ``base_ms`` × how slow the machine is at that second × noise."""

    def __init__(self, slowness: Callable[[float], float] = lambda second: 1.0, noise: float = 0.0) -> None:
        self.now_ns = 0.0
        self.log: list[int] = []
        self._slowness = slowness
        self._noise = noise
        self._rng = np.random.default_rng(0)

    def clock(self) -> float:
        return self.now_ns

    def call(self, index: int, base_ms: float) -> Callable[[], None]:
        def run() -> None:
            self.log.append(index)
            factor = self._slowness(self.now_ns / 1e9) * np.exp(self._noise * self._rng.standard_normal())
            self.now_ns += base_ms * MS * factor

        return run

    def calls(self, base_ms: list[float]) -> list[Callable[[], None]]:
        return [self.call(index, base) for index, base in enumerate(base_ms)]


def quick(**changes: float) -> Effort:
    return Effort(**({"rounds": 5, "runs_per_round": 3, "warmup_runs": 2, "at_least_s": 0, "at_most_s": 0} | changes))


def run(machine: Machine, base_ms: list[float], effort: Effort, **more: object) -> Measurement:
    return measure(machine.calls(base_ms), effort, np.random.default_rng(0), clock=machine.clock, **more)


def test_every_call_runs_as_often_as_said_and_in_changing_order() -> None:
    machine, kept = Machine(), []
    base_ms = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = run(machine, base_ms, quick(), on_round=lambda done, reference: kept.append(done))
    assert found.rounds == len(kept) == 5
    assert [entry.count for entry in found.statistics] == [5 * 3] * 5
    choosing, warming = 1, 2
    for index in range(5):
        as_reference = 5 * 2 * (5 + 1) if index == found.reference else 0
        assert machine.log.count(index) == warming + choosing + 5 * (1 + 3) + as_reference
    assert len({tuple(done.order) for done in kept}) == 5
    assert all(sorted(done.order) == [0, 1, 2, 3, 4] for done in kept)
    assert all(len(done.reference_ns) == 6 for done in kept)


def test_on_a_steady_machine_the_statistics_are_the_script() -> None:
    found = run(Machine(), [0.7, 0.3, 12.0], quick())
    assert [entry.p50_ms for entry in found.statistics] == pytest.approx([0.7, 0.3, 12.0])
    assert [entry.p10_ms for entry in found.statistics] == pytest.approx([0.7, 0.3, 12.0])
    assert [entry.p90_ms for entry in found.statistics] == pytest.approx([0.7, 0.3, 12.0])
    assert found.confidence_95 == pytest.approx(0, abs=1e-12)
    assert found.unsteadiness_90 == pytest.approx(0, abs=1e-12)
    assert found.drift == pytest.approx(1)
    assert found.clock_steps == 0


@pytest.mark.parametrize(("base_ms", "reference"), [([5.0, 0.1, 0.3, 0.25], 3), ([0.1, 0.15, 0.02], 1)])
def test_the_reference_is_short_but_long_enough_to_time(base_ms: list[float], reference: int) -> None:
    assert run(Machine(), base_ms, quick()).reference == reference


def flipping(second: float) -> float:
    """1.5 × slower every other 0.7 s, as shared machines are."""
    return 1.5 if int(second / 0.7) % 2 else 1.0


def test_a_machine_that_flips_between_two_speeds_is_corrected_by_the_reference() -> None:
    """The true ratios come out within 1 %, though single runs differ by 50 %."""
    base_ms = [0.25, 1.0, 3.0, 9.0, 9.0]
    found = run(Machine(flipping, noise=0.01), base_ms, quick(rounds=40, runs_per_round=2))
    p50_ms = np.array([entry.p50_ms for entry in found.statistics])
    assert p50_ms / p50_ms[0] * 0.25 == pytest.approx(base_ms, rel=0.01)


def test_unsteadiness_is_half_the_range_of_the_machines_speeds() -> None:
    """Slow for 6 s of 20: half of 50 %."""
    machine = Machine(lambda second: 1.5 if 6 <= second % 20 < 12 else 1.0)
    found = run(machine, [1.0, 5.0], quick(at_least_s=20, at_most_s=20))
    assert found.unsteadiness_90 == pytest.approx(0.25, abs=0.03)


def test_drift_is_the_end_against_the_beginning() -> None:
    found = run(Machine(lambda second: 1 + second / 10), [1.0, 2.0, 2.0], quick(rounds=40))
    slow_at_the_end = 1 + 0.875 * 40 * (3 * 1.0 + 3 * 2.0 + 8 * 1.0) / 1e3 / 10
    assert 1.02 < found.drift < slow_at_the_end * 1.05


def test_an_outlier_stays_in_the_spread_and_does_not_move_the_median() -> None:
    machine = Machine()
    calls = machine.calls([1.0, 2.0])
    slow = iter([False] * 8 + [True] * 2)

    def sometimes_slow() -> None:
        calls[1]()
        if next(slow, False):
            machine.now_ns += 500 * MS

    effort = quick(rounds=2, runs_per_round=5, warmup_runs=0)
    found = measure([calls[0], sometimes_slow], effort, np.random.default_rng(0), clock=machine.clock)
    assert found.statistics[1].p50_ms == pytest.approx(2.0)
    assert found.statistics[1].p90_ms > 3.0
    assert found.statistics[1].count == 10


def test_it_stops_when_the_medians_are_known_and_says_how_well() -> None:
    steady = run(Machine(noise=0.02), [1.0, 2.0], quick(at_most_s=1000, confidence=0.01))
    noisy = run(Machine(noise=0.10), [1.0, 2.0], quick(at_most_s=1000, confidence=0.01))
    assert steady.confidence_95 <= 0.01
    assert noisy.confidence_95 <= 0.01
    assert noisy.rounds > 3 * steady.rounds


def test_too_noisy_for_the_confidence_ends_with_the_budget_and_tells_what_was_reached() -> None:
    machine = Machine(noise=0.3)
    found = run(machine, [1.0, 2.0], quick(at_most_s=2.0, confidence=0.001))
    assert found.confidence_95 > 0.01
    assert 2.0 <= machine.now_ns / 1e9 < 2.2


def test_the_end_is_told_once_and_what_it_found() -> None:
    told: list[tuple[float, str]] = []
    noisy = quick(confidence=0.001, at_most_s=2.0)
    found = run(Machine(noise=0.2), [1.0, 5.0], noisy, progress=lambda *at: told.append(at))
    assert [at for at in told if at[0] >= 1] == [(1.0, f"medians known to ±{found.confidence_95:.1%}")] == told[-1:]
    assert len(told) == found.rounds + 1
    told.clear()
    run(
        Machine(noise=0.2),
        [1.0, 5.0],
        quick(rounds=2, at_most_s=0.001, at_least_s=5.0),
        progress=lambda *at: told.append(at),
    )
    assert not any("inf" in note for _, note in told)


def test_the_confidence_interval_holds_the_true_median_as_often_as_it_says() -> None:
    """95 % intervals of 300 measurings with 20 % noise: between 88 % and 99 % hold the truth."""
    inside = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rounds = [Round([0], [[float(1e6 * np.exp(0.2 * rng.standard_normal()))]], [1e6, 1e6]) for _ in range(25)]
        entry = summarize(rounds, 0).statistics[0]
        inside += abs(entry.p50_ms - 1.0) <= entry.confidence_95 * entry.p50_ms
    assert 0.88 <= inside / 300 <= 0.99


def test_short_calls_are_measured_for_the_least_time() -> None:
    machine = Machine()
    found = run(machine, [0.3], quick(at_least_s=1.0, at_most_s=5.0))
    assert 1.0 <= machine.now_ns / 1e9 < 1.1
    assert found.rounds > 100


def test_rounds_of_a_killed_process_count() -> None:
    kept: list[Round] = []
    run(Machine(noise=0.1), [1.0, 2.0], quick(rounds=6), on_round=lambda done, reference: kept.append(done))
    machine = Machine(noise=0.1)
    found = run(machine, [1.0, 2.0], quick(rounds=8), earlier=kept, reference=1)
    assert found.rounds == 8
    assert found.reference == 1
    assert found.statistics[0].count == 8 * 3
    assert machine.log.count(0) == 2 + 2 * (1 + 3)  # warm-up, and the two rounds that were missing


def test_a_call_that_counts_its_own_time_is_believed() -> None:
    machine = Machine()

    def on_the_device() -> float:
        machine.now_ns += 50 * MS  # the way there and back
        return 2.5 * MS

    found = measure([on_the_device], quick(), np.random.default_rng(0), clock=machine.clock)
    assert found.statistics[0].p50_ms == pytest.approx(2.5)


def test_a_clock_that_steps_back_costs_a_repetition() -> None:
    machine = Machine()
    steps = iter([False] * 20 + [True] + [False] * 1000)
    calls = machine.calls([1.0, 2.0])

    def call() -> None:
        calls[0]()
        if next(steps):
            machine.now_ns -= 3600e9

    found = measure([call, calls[1]], quick(), np.random.default_rng(0), clock=machine.clock)
    assert found.clock_steps == 1
    assert found.statistics[0].p50_ms == pytest.approx(1.0)
    assert found.statistics[0].count == 5 * 3


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(ClockError, match="stands still"):
        measure([lambda: None], quick(), np.random.default_rng(0), clock=lambda: 7.0)


def test_garbage_collection_is_off_while_timing_and_on_again_after_a_failure() -> None:
    seen = []

    def call() -> None:
        seen.append(gc.isenabled())
        if len(seen) > 6:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure([call], quick(warmup_runs=0), np.random.default_rng(0))
    assert seen[1:] == [False] * 6  # the first run only chooses the reference
    assert gc.isenabled()


def test_it_needs_numpy_and_errors_only() -> None:
    tree = ast.parse(Path(hwnas.profiling.timer.__file__).read_text(), feature_version=(3, 8))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert [name for name in imported if name and name.startswith("hwnas")] == ["hwnas.errors"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"rounds": -1}, "rounds must be 1 to"), ({"confidence": float("nan")}, "confidence must be 0 to"),
     ({"at_most_s": "3"}, "at_most_s must be 0 to"), ({"at_least_s": float("inf")}, "at_least_s must be 0 to")],
)  # fmt: skip
def test_an_effort_that_nobody_can_make(asked: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Effort(**asked)
    assert "\n" not in str(caught.value)
