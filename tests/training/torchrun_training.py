"""One process of a training that dies: ``python -m tests.training.torchrun_training CONFIG RUN UPDATE``.

The first process kills itself after that update, with a checkpoint after every one.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.training import loop
from hwnas.training.config import read_config
from hwnas.training.loop import run_training


def main(config: str, run: str, update: str) -> None:
    """Train until the moment comes; errors end as the command line ends them."""
    loop.CHECKPOINT_SECONDS = 0.0

    def progress(what: str, done: int, total: int, note: str) -> None:
        if done == int(update):
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        run_training(read_config(Path(config)), Path(run), resume=True, progress=progress)
    except HwnasError as error:
        print(f"hwnas: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main(*sys.argv[1:])
