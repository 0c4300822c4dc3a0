"""What all workers promise: each item once, whatever happens to those who work on it."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import InputError
from hwnas.workers.base import Done, Failed, Workers
from hwnas.workers.local import LocalProcesses
from hwnas.workers.registry import Here
from tests.workers import calls


def outcomes(workers: Workers, function: Any, items: Sequence[Any]) -> list[Done | Failed]:
    found = sorted(workers.map(function, items), key=lambda outcome: outcome.index)
    assert [outcome.index for outcome in found] == list(range(len(items)))
    return found


def values(workers: Workers, function: Any, items: Sequence[Any]) -> list[Any]:
    """What each item gave: a value, or the reason why not."""
    return [o.value if isinstance(o, Done) else o.reason for o in outcomes(workers, function, items)]


def test_values_do_not_depend_on_who_computes_them(workers: Workers) -> None:
    numbers = list(range(20))
    assert values(workers, calls.slow_square, numbers) == [number**2 for number in numbers]
    assert values(workers, calls.slow_square, []) == []
    assert values(workers, calls.square, [7]) == [49]


def test_an_outcome_says_where_and_how_long(workers: Workers) -> None:
    for outcome in outcomes(workers, calls.slow_square, range(6)):
        assert outcome.host == platform.node()
        assert 0.05 * (outcome.index % 3) <= outcome.seconds < 5


def test_an_error_is_an_outcome_of_one_line(workers: Workers) -> None:
    where = f" (calls.py, line {calls.awkward.__code__.co_firstlineno + 2})"
    assert values(workers, calls.awkward, range(4)) == [
        0,
        f"AwkwardError: no 1: odd{where}",
        2,
        f"AwkwardError: no 3: odd{where}",
    ]


def test_a_value_that_cannot_travel_back(other_processes: Workers) -> None:
    first, second, third = values(other_processes, calls.unpicklable, range(3))
    assert (first, third) == (0, 2)
    assert "pickle" in second
    assert "\n" not in second


def test_a_function_that_cannot_travel() -> None:
    with pytest.raises(InputError, match=r"can't be sent to workers .*; define it in a module"):
        list(LocalProcesses(2).map(lambda number: number, [1]))


def test_processes_and_what_they_loaded_stay(other_processes: Workers) -> None:
    loads = calls.Loads()
    seen = values(other_processes, loads, range(10)) + values(other_processes, loads, range(10))
    assert os.getpid() not in {pid for pid, _ in seen}
    for pid in {pid for pid, _ in seen}:
        counts = sorted(count for other, count in seen if other == pid)
        assert counts == list(range(1, len(counts) + 1))
    assert len({pid for pid, _ in seen}) < 10


def test_processes_share_the_cores_for_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    monkeypatch.delenv("OMP_NUM_THREADS")  # set in tests/conftest.py
    assert threads_of(1) == str(cores)
    assert threads_of(cores) == "1"
    assert threads_of(2 * cores) == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert threads_of(1) == "7"


def threads_of(count: int) -> str:
    with closing(LocalProcesses(count)) as workers:
        ((_, threads),) = values(workers, calls.process, [0])
    return threads


def test_two_workers_are_killed_and_nothing_is_lost(other_processes: Workers, tmp_path: Path) -> None:
    function = calls.KilledOver(tmp_path, (3, 11))
    assert values(other_processes, function, range(16)) == values(Here(), calls.square, range(16))
    assert function.calls() == {number: 2 if number in (3, 11) else 1 for number in range(16)}


def test_workers_killed_from_outside_while_idle_and_while_at_work(other_processes: Workers) -> None:
    for pid, _ in set(values(other_processes, calls.process, range(4))):
        os.kill(pid, signal.SIGKILL)
    assert values(other_processes, calls.square, range(8)) == [number**2 for number in range(8)]
    first = next(running := other_processes.map(calls.process, range(12)))
    os.kill(first.value[0], signal.SIGKILL)
    assert sorted(outcome.index for outcome in [first, *running]) == list(range(12))


@pytest.mark.parametrize("function", [calls.kills_its_worker, calls.exits])
def test_an_item_that_always_kills_its_worker_is_given_up(other_processes: Workers, function: Any) -> None:
    deadly = 3 if function is calls.kills_its_worker else 1
    for index, value in enumerate(values(other_processes, function, range(6))):
        if index == deadly:
            assert value.startswith("its worker died 3 times (the last: ")
            assert "\n" not in value
        else:
            assert value == index


def test_a_map_that_is_left_half_way_leaves_nothing_running(other_processes: Workers, tmp_path: Path) -> None:
    running = other_processes.map(calls.Waits(tmp_path, but=0), range(2))
    assert next(running).index == 0
    pids = calls.waiting_processes(tmp_path, 1)
    running.close()  # type: ignore[attr-defined]
    calls.wait_until_gone(pids)
    assert values(other_processes, calls.square, [3]) == [9]


def test_close_ends_the_processes() -> None:
    workers = LocalProcesses(2)
    pids = {pid for pid, _ in values(workers, calls.process, range(4))}
    assert len(pids) == 2
    workers.close()
    calls.wait_until_gone(list(pids))
