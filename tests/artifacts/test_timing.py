"""Timing of sessions whose own clock says what they take, so that every figure is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np
import pytest

from hwnas.arrays import Array
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import ModelError
from hwnas.profiling.timer import Effort

EFFORT = Effort(rounds=4, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)
INPUTS = [np.zeros((2, 3, 4, 4), np.float32)]


class Clocked:
    """A session that counts ``ms``, and fails at a call or when it is bound."""

    def __init__(self, ms: float, fails_at: int | None = None) -> None:
        self.ms, self.fails_at = ms, fails_at
        self.calls: Iterator[int] = count(1)

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(inputs)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float]:
        if self.fails_at == 0:
            raise RuntimeError("no room\nfor the output")

        def call() -> float:
            if next(self.calls) == self.fails_at:
                raise RuntimeError("lost the device\nat layer 3")
            return self.ms * 1e6

        return call


def test_each_session_takes_what_its_clock_says() -> None:
    timing = time_sessions({"a": (Clocked(2.0), INPUTS), "b": (Clocked(0.5), INPUTS)}, EFFORT)
    assert {key: each.p50_ms for key, each in timing.latency.items()} == {"a": 2.0, "b": 0.5}
    assert timing.latency["a"].count == 8
    assert (timing.failed, timing.confidence_95, timing.unsteadiness_90) == ({}, 0.0, 0.0)


@pytest.mark.parametrize("fails_at", [0, 1, 7, 20])
def test_a_session_that_fails_loses_nothing_of_the_others(fails_at: int) -> None:
    # the shortest session is the reference that all others are divided by: the hardest to lose
    sessions = {"whole": Clocked(2.0), "broken": Clocked(0.3, fails_at), "also": Clocked(1.0)}
    timing = time_sessions({key: (session, INPUTS) for key, session in sessions.items()}, EFFORT)
    assert {key: each.p50_ms for key, each in timing.latency.items()} == {"whole": 2.0, "also": 1.0}
    assert timing.latency["whole"].count == 8
    assert timing.failed == {"broken": "no room" if fails_at == 0 else "lost the device"}


def test_several_may_fail() -> None:
    sessions = {f: (Clocked(1.0, f), INPUTS) for f in (0, 3, 6, 9)} | {100: (Clocked(4.0), INPUTS)}
    timing = time_sessions(sessions, EFFORT)
    assert list(timing.latency) == [100]
    assert set(timing.failed) == {0, 3, 6, 9}


def test_where_none_runs_there_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"lost the device$"):
        time_sessions({"a": (Clocked(1.0, 2), INPUTS)}, EFFORT)
    with pytest.raises(ModelError, match="clock"):
        time_sessions({"a": (Clocked(0.0), INPUTS)}, EFFORT)
