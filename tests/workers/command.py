"""A command that has workers: ``python -m tests.workers.command WORKERS FOLDER [COUNT]``.

Without COUNT they wait for ever, noted in FOLDER; with it, it prints the squares of so many numbers, and two workers
are killed over them.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.workers.base import Done
from hwnas.workers.registry import get_workers
from tests.workers import calls


def main(name: str, folder: Path, count: int | None) -> None:
    with closing(get_workers(name)) as workers:
        if count is None:
            list(workers.map(calls.Waits(folder), range(2)))
            return
        found = workers.map(calls.KilledOver(folder, (1, 4)), range(count))
        print(json.dumps({outcome.index: outcome.value for outcome in found if isinstance(outcome, Done)}))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
    except HwnasError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
