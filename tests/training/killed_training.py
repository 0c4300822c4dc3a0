"""A training that kills itself: ``python -m tests.training.killed_training SPACE RUN MOMENT``.

MOMENT is ``update:N`` (after the N-th update of this process), or ``before:FILE:N`` / ``after:FILE:N`` (around
the N-th time that FILE is put in place).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hwnas.training import loop
from hwnas.training.loop import run_training
from tests.training.training_cases import short

_replace = os.replace


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(space: str, run: str, moment: str) -> None:
    """Train with a checkpoint after every update, until the moment comes."""
    when, *rest = moment.split(":")
    left = int(rest[-1])
    loop.CHECKPOINT_SECONDS = 0.0

    def replace(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        nonlocal left
        hit = when != "update" and Path(target).name == rest[0]
        left -= hit
        if hit and left == 0 and when == "before":
            _die()
        _replace(source, target)
        if hit and left == 0 and when == "after":
            _die()

    def progress(what: str, done: int, total: int, note: str) -> None:
        nonlocal left
        if when == "update":
            left -= 1
            if left == 0:
                _die()

    os.replace = replace
    run_training(short(space), Path(run), resume=True, progress=progress)


if __name__ == "__main__":
    main(*sys.argv[1:])
