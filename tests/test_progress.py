"""What a person sees while something is under way."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import TimeElapsedColumn

from hwnas import progress as module
from hwnas.flow.search import search_note
from hwnas.optimize.progress import SearchProgress
from hwnas.progress import Pace, ProgressBars, rough

UNITS = ["fraction", "ms", "ms", "madds"]


@given(step_s=st.floats(0.001, 1e4), total=st.integers(2, 300), part=st.floats(0.1, 1))
def test_a_steady_pace_is_told_exactly(step_s: float, total: int, part: float) -> None:
    done = max(1, int(part * (total - 1)))
    pace = Pace(0, 0.0)
    for step in range(1, done + 1):
        pace.update(step, step * step_s)
    assert pace.left_s(total, done * step_s) == pytest.approx((total - done) * step_s)
    assert pace.left_s(total, (done + 0.5) * step_s) == pytest.approx((total - done - 0.5) * step_s)


def test_what_a_resumed_search_replays_says_nothing_of_the_rest() -> None:
    """280 stored evaluations in a tenth of a second, then 20 a minute."""
    pace = Pace(0, 0.0)
    for batch in range(1, 15):
        pace.update(20 * batch, 0.007 * batch)
    assert pace.left_s(400, 30.0) is None
    pace.update(300, 60.0)
    assert pace.left_s(400, 60.0) == pytest.approx(300, rel=0.01)
    pace.update(320, 120.0)
    assert pace.left_s(400, 120.0) == pytest.approx(240, rel=0.01)


def test_a_slow_first_step_is_forgotten() -> None:
    pace = Pace(0, 0.0)
    for step in range(1, 51):
        pace.update(step, 100.0 + 4 * step)
    assert pace.left_s(100, 300.0) == pytest.approx(200)


def test_between_steps_the_time_left_counts_down_and_never_below_zero() -> None:
    pace = Pace(0, 0.0)
    pace.update(1, 10.0)
    assert [pace.left_s(2, now_s) for now_s in (10.0, 14.0, 19.0)] == [10.0, 6.0, 1.0]
    pace.update(2, 30.0)
    assert pace.left_s(2, 30.0) == 0
    assert pace.left_s(2, 300.0) == 0


def test_nobody_can_tell_before_a_step_or_long_after_the_last() -> None:
    pace = Pace(3, 0.0)
    assert pace.left_s(10, 5.0) is None
    pace.update(4, 10.0)
    assert pace.left_s(10, 15.0) is not None
    assert pace.left_s(10, 25.0) is None


def test_beginning_anew_forgets_the_pace() -> None:
    pace = Pace(0, 0.0)
    pace.update(90, 10.0)
    pace.update(1, 20.0)
    pace.update(2, 25.0)
    assert pace.left_s(4, 25.0) == pytest.approx(10)


def test_what_is_kept_does_not_grow_with_the_steps() -> None:
    pace = Pace(0, 0.0)
    for step in range(1, 50_001):
        pace.update(step, 0.01 * step)
        if step % 100 == 0:
            pace.left_s(100_000, 0.01 * step)
    assert len(pace._samples) < 500
    assert pace.left_s(100_000, 500.0) == pytest.approx(500)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min"), (3570, "1 h 0 min"), (7800, "2 h 10 min")],
)
def test_durations_as_one_says_them(seconds: float, expected: str) -> None:
    assert rough(seconds) == expected


@pytest.mark.parametrize(
    ("best", "failed", "units", "expected"),
    [
        (None, 0, UNITS, "hypervolume 0.4123  nothing within budget yet"),
        ([0.912, 7.91, 2.04, 3e8], 0, UNITS, "hypervolume 0.4123  best 91.20 % at 7.91 ms, 2.04 ms"),
        ([0.912, 7.91], 2, UNITS[:2], "hypervolume 0.4123  best 91.20 % at 7.91 ms  failed 2"),
        ([0.912, 3.1e8], 0, ["fraction", "madds"], "hypervolume 0.4123  best 91.20 %"),
    ],
)
def test_the_note_of_a_search(best: list[float] | None, failed: int, units: list[str], expected: str) -> None:
    at = SearchProgress(10, 20, 0.41234, np.zeros(len(units)), failed, None if best is None else np.array(best))
    assert search_note(at, units) == expected


def test_a_search_says_nothing_of_its_budget_before_the_first_batch_is_finished() -> None:
    assert search_note(SearchProgress(3, 20, 0.0, None), UNITS) == "first archs"
    assert search_note(SearchProgress(3, 20, 0.0, None, failed=2), UNITS) == "first archs  failed 2"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


def test_plain_lines_come_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(), io.StringIO()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sys, "stderr", said)
    with ProgressBars() as progress:
        for step in range(61):
            clock.now_s = 4.0 * step
            progress("searching", step, 60, f"hypervolume 0.{step}")
    lines = said.getvalue().splitlines()
    assert lines[0] == "searching: 3/60  hypervolume 0.3  left 4 min"
    assert lines[-2] == "searching: 57/60  hypervolume 0.57  left 12 s"
    assert lines[-1] == "searching: 60/60  hypervolume 0.60"
    assert len(lines) == 20


def test_a_bar_of_work_that_ended_early_stops_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with ProgressBars() as progress:
        bars = progress._bars = module._Bars(TimeElapsedColumn(), console=console, get_time=clock.monotonic)
        for now_s, what, done in [(0, "measuring", 0), (7, "measuring", 3), (8, "training", 0), (90, "training", 5)]:
            clock.now_s = now_s
            progress(what, done, 10)
        assert [task.elapsed for task in bars.tasks] == [8, 82]
        progress("measuring", 4, 10)  # one beside another goes on
        assert [task.elapsed for task in bars.tasks] == [90, 82]


_SHOWN = """
import time
from hwnas.progress import ProgressBars
with ProgressBars() as progress:
    for step in range(4):
        progress("searching", step, 4, "hypervolume 0.4123  best 91.20 % at 7.91 ms  failed 2")
        time.sleep(0.3)
    progress("closing", 1, 9, "[red]as it is[/red]")
"""


def test_a_terminal_has_a_bar_with_the_note_below_it() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", _SHOWN], stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # the terminal's other end is closed
        pass
    assert process.wait() == 0
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()]
    assert "hypervolume 0.4123  best 91.20 % at 7.91 ms  failed 2" in lines
    assert "[red]as it is[/red]" in lines
    assert any(re.fullmatch(r"searching .* 3/4 0:00:0\d \d s left", line) for line in lines), lines


class Notebook:
    """Stands in for IPython: what is displayed is kept as a browser would have it."""

    def __init__(self) -> None:
        self.pictures: list[str] = []

    def display(self, shown: Any, display_id: bool) -> Notebook:
        self.update(shown)
        return self

    def update(self, shown: Any) -> None:
        self.pictures.append(shown._repr_mimebundle_([], [])["text/html"])


def test_a_notebook_has_bars_that_are_drawn_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, notebook = Clock(), Notebook()
    shell = type("ZMQInteractiveShell", (), {})
    monkeypatch.setattr("builtins.get_ipython", shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=notebook))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr(module, "time", clock)
    with ProgressBars() as progress:
        for step in range(101):
            clock.now_s = 0.01 * step
            progress("measuring", step, 100, "medians known to 2 %")
    assert 5 <= len(notebook.pictures) <= 8  # five a second
    assert "100/100" in notebook.pictures[-1]
    assert "medians known to 2 %" in notebook.pictures[-1]
    assert capsys.readouterr().err == ""


def test_an_end_told_twice_is_one_line_until_it_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressBars()
    for done in (100, 100, 100, 1, 100, 100):
        progress("measuring", done, 100)
    assert capsys.readouterr().err == "measuring: 100/100\n" * 2


def test_bars_that_nobody_opened_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressBars()("loading", 3, 3)
    assert capsys.readouterr().err == "loading: 3/3\n"
