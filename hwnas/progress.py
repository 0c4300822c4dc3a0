"""How work tells how far it is, and what a person sees of that."""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from hwnas.errors import printable

Progress = Callable[[str, int, int, str], None]
"""Called with (what, done, total, note)."""

Tell = Callable[[str], None]
"""Called with a line that a person should read, as a remark or what another machine says."""

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_PICTURES = 0.2
_SAMPLES = 100  # kept of all the time so far


def silent(line: str) -> None:
    """Nobody is told."""


def say(line: str) -> None:
    """Told on standard error."""
    print(f"{printable(line)}\n", end="", file=sys.stderr, flush=True)  # in one piece, whatever other threads say


class ProgressBars:
    """A `Progress` to watch: a bar for each ``what`` on a terminal or in a notebook, a line now and then elsewhere::

        with ProgressBars() as progress:
            profile("scarlet-s2", output="table.yaml", progress=progress)

    All goes to standard error.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._picture: Any = None  # in a notebook: IPython's handle of what is shown
        self._tasks: dict[str, TaskID] = {}
        self._paces: dict[str, Pace] = {}
        self._last: dict[str, float] = {}
        self._ended: set[tuple[str, int]] = set()  # whose last line is said: work may tell of its end more than once

    def __enter__(self) -> ProgressBars:
        console = Console(stderr=True)
        if console.is_jupyter or sys.stderr.isatty():
            what = TextColumn("{task.description:<20}")
            columns = (what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _TimeLeft())
            self._bars = _Bars(*columns, console=console)
        if self._bars and console.is_jupyter:
            from IPython.display import display

            self._picture = display(self._bars, display_id=True)  # rich's own way needs ipywidgets
        elif self._bars:
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._picture:
            self._picture.update(self._bars)
        elif self._bars:
            self._bars.stop()
        self._bars = self._picture = None

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        what, note, now = printable(what), printable(note), time.monotonic()
        pace = self._paces.setdefault(what, Pace(done, now))
        pace.update(done, now)
        if done < total:
            self._ended.discard((what, total))  # it began anew
        if self._bars:
            if what not in self._tasks:
                for earlier in self._bars.tasks:  # work may end before all of it is done, as measuring does
                    earlier.stop_time = earlier.stop_time or earlier.get_time()
                self._tasks[what] = self._bars.add_task(what, total=total, note=note, pace=pace)
            self._bars.tasks[self._bars.task_ids.index(self._tasks[what])].stop_time = None  # it goes on
            self._bars.update(self._tasks[what], completed=done, total=total, note=note)
            if self._picture and self._due(what, now, _SECONDS_BETWEEN_PICTURES):
                self._picture.update(self._bars)
        elif self._due(what, now, _SECONDS_BETWEEN_LINES) or done >= total:
            if (what, total) in self._ended:
                return
            left_s = pace.left_s(total, now)
            left = f"left {rough(left_s)}" if left_s else ""
            say("  ".join(part for part in (f"{what}: {done}/{total}", note, left) if part))
            if done >= total:
                self._ended.add((what, total))

    def _due(self, what: str, now: float, every_s: float) -> bool:
        due = now - self._last.setdefault(what, now) >= every_s
        if due:
            self._last[what] = now
        return due


class _TimeLeft(ProgressColumn):
    """What :class:`Pace` says, where rich would tell from the last half minute alone."""

    def render(self, task: Task) -> Text:
        if task.stop_time is not None:
            return Text("")
        left_s = task.fields["pace"].left_s(int(task.total or 0), time.monotonic())
        return Text("" if not left_s else f"{rough(left_s)} left", style="progress.remaining")


class _Bars(Bars):
    """A line a task, with its note on a line below it: there a long one has room."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", style="dim")


class Pace:
    """Tells the time left from the pace of the latter half of the time so far.

    A resumed search replays what is stored in no time, a first step loads and compiles: neither says how the rest goes,
    and neither lies in the latter half for long. Times are of any clock that only goes forward.
    """

    def __init__(self, done: int, now_s: float) -> None:
        self._begin(done, now_s)

    def _begin(self, done: int, now_s: float) -> None:
        self._start_s = now_s
        self._last = (now_s, done)
        self._samples = [self._last]

    def update(self, done: int, now_s: float) -> None:
        """So many steps are done now; fewer than before mean that it began anew."""
        if done < self._last[1]:
            self._begin(done, now_s)
            return
        if now_s - self._samples[-1][0] > (now_s - self._start_s) / _SAMPLES:
            self._samples = [*self._samples[self._halfway(now_s) :], self._last]
        self._last = (now_s, done)

    def left_s(self, total: int, now_s: float) -> float | None:
        """Seconds until ``total`` steps are done; None as long as nobody can tell."""
        last_s, done = self._last
        since_s, before = self._samples[self._halfway(now_s)]
        if done >= total:
            return 0.0
        if last_s <= (self._start_s + now_s) / 2 or done == before:
            return None
        return max(0.0, (total - done) * (last_s - since_s) / (done - before) - (now_s - last_s))

    def _halfway(self, now_s: float) -> int:
        """Index of the last sample in the first half of the time."""
        half_s = (self._start_s + now_s) / 2
        return max(0, bisect_right(self._samples, half_s, key=lambda sample: sample[0]) - 1)


def rough(seconds: float) -> str:
    """A duration as one says it: ``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
