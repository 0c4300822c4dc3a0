"""Seconds of ``import hwnas`` and ``hwnas --help``, whole process, beside an empty Python.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from common import machine, row, side_by_side


def process(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    measured = side_by_side(
        {
            "python -c pass": process("-c", "pass"),
            "import hwnas": process("-c", "import hwnas"),
            "hwnas --help": process("-m", "hwnas", "--help"),
        },
        rounds=5,
        runs=2,
    )
    print(machine())
    for name, latency in measured.items():
        print(row(name, latency))


if __name__ == "__main__":
    main()
