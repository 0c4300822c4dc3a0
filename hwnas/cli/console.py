"""What every verb prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

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


class Progress:
    """Called with (what, done, total, note): a bar for each ``what`` on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            )  # fmt: skip
            self._bars = Bars(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}
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
        if self._bars:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total, note=note)
            self._bars.update(self._tasks[what], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if done >= total or now - self._last_line.setdefault(what, now) >= _SECONDS_BETWEEN_LINES:
            self._last_line[what] = now
            say(f"{what}: {done}/{total}{f'  {note}' if note else ''}")
