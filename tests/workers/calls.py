"""Functions for workers to carry out; what they leave behind for the test lies in files."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def square(number: int) -> int:
    return number * number


def slow_square(number: int) -> int:
    time.sleep(0.05 * (number % 3))  # they come back in another order than they went
    return number * number


def process(_: Any) -> tuple[int, str | None]:
    time.sleep(0.1)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


class AwkwardError(Exception):
    """Can't be pickled, and says something in two lines."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"no {number}:\n{why}")
        self.hold = lambda: number


def awkward(number: int) -> int:
    if number % 2:
        raise AwkwardError(number, "odd")
    return number


def unpicklable(number: int) -> Any:
    return (lambda: number) if number == 1 else number


def exits(number: int) -> int:
    if number == 1:
        os._exit(7)
    return number


def kills_its_worker(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number


@dataclass(frozen=True)
class KilledOver:
    """Kills its worker the first time that it gets one of ``numbers``; each call is noted in ``folder``."""

    folder: Path
    numbers: tuple[int, ...]

    def __call__(self, number: int) -> int:
        with open(self.folder / f"call-{number}", "a") as log:
            log.write("x")
        if number in self.numbers and (self.folder / f"call-{number}").stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return number * number

    def calls(self) -> dict[int, int]:
        return {int(path.name[5:]): path.stat().st_size for path in self.folder.glob("call-*")}


class Loads:
    """Counts how often it was loaded in its process."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: int) -> tuple[int, int]:
        self.calls += 1
        time.sleep(0.02)
        return os.getpid(), self.calls


@dataclass(frozen=True)
class Waits:
    """Leaves its process number in ``folder`` and never comes back, except over ``but``."""

    folder: Path
    but: int | None = None

    def __call__(self, number: int) -> None:
        if number != self.but:
            (self.folder / f"{os.getpid()}.pid").touch()
            time.sleep(600)


def waiting_processes(folder: Path, count: int) -> list[int]:
    """The process numbers that ``count`` calls of :class:`Waits` left."""
    deadline = time.monotonic() + 60
    while len(found := [int(path.stem) for path in folder.glob("*.pid")]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while alive := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
