"""A process of its own for files that may crash or hang whoever loads them.

Part of profiling kits: Python ≥ 3.8, standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING

import hwnas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENDS_S = 5


@contextmanager
def started(module: str, *words: object, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m module words`` with the hwnas that this is; its output is to be read, and it ends with the block.

    Nothing is imported from the folder one is in: it may be the one whose files are held to mean harm.
    """
    paths = [str(Path(hwnas.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)))
    with running("-P", "-m", module, *words, stdin=stdin, environment=environment) as process:
        yield process


@contextmanager
def running(
    *words: object, stdin: int = subprocess.DEVNULL, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """``python words``, with this Python; its output is to be read, and it ends with the block."""
    with subprocess.Popen(
        [sys.executable, *map(str, words)], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that says nothing any more, in words: by itself, if it does so within seconds."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_S)
    process.kill()
    return ending(process.wait())


def ending(status: int) -> str:
    """How a process ended, in words."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


class TooLateError(Exception):
    """A process was stopped since it didn't say anything in time."""


def line(process: subprocess.Popen[bytes], limit_s: float) -> bytes:
    """Its next line of output, with the end of the line; without one where it ended before.

    Raises:
        TooLateError: it took longer than ``limit_s``, and is stopped.
    """
    late = Event()

    def stop() -> None:
        late.set()
        process.kill()

    assert process.stdout is not None
    watch = Timer(limit_s, stop)
    watch.start()
    try:
        found = process.stdout.readline()
    finally:
        watch.cancel()
    if late.is_set() and not found.endswith(b"\n"):
        raise TooLateError
    return found
