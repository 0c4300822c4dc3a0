"""What every verb prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from hwnas.cli.pace import Pace, rough
from hwnas.files import to_json

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
UnusedSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Every verb takes it; this one draws nothing.")]

_SECONDS_BETWEEN_LINES = 10.0


def print_result(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """End of a verb: the JSON object if asked for, else the lines a person reads."""
    sys.stdout.write(to_json(result) if as_json else "".join(f"{line}\n" for line in lines))


def say(text: str) -> None:
    """A remark for the person watching."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)  # in one piece, whatever other threads say


class _TimeLeft(ProgressColumn):
    """What :class:`Pace` says, where rich would tell from the last half minute alone."""

    def render(self, task: Task) -> Text:
        left_s = task.fields["pace"].left_s(int(task.total or 0), time.monotonic())
        return Text("" if not left_s else f"{rough(left_s)} left", style="progress.remaining")


class _Bars(Bars):
    """A line a task, with its note on a line below it: there a long one has room."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", style="dim")


class Progress:
    """Called with (what, done, total, note): a bar for each ``what`` on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        if sys.stderr.isatty():
            what = TextColumn("{task.description:<20}")
            columns = (what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _TimeLeft())
            self._bars = _Bars(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}
        self._paces: dict[str, Pace] = {}
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        pace = self._paces.setdefault(what, Pace(done, now))
        pace.update(done, now)
        if self._bars:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total, note=note, pace=pace)
            self._bars.update(self._tasks[what], completed=done, total=total, note=note)
            return
        if done >= total or now - self._last_line.setdefault(what, now) >= _SECONDS_BETWEEN_LINES:
            self._last_line[what] = now
            left_s = pace.left_s(total, now)
            left = f"left {rough(left_s)}" if left_s else ""
            say("  ".join(part for part in (f"{what}: {done}/{total}", note, left) if part))
