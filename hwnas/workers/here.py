"""This process does it: `Here` one item after the other, `Threads` all at once."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from hwnas.errors import HwnasError
from hwnas.workers.base import Done, Failed, Item


class Here:
    """No workers at all."""

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, in their order."""
        for index, item in enumerate(items):
            yield attempt(function, item, index)

    def close(self) -> None:
        """Nothing to let go."""


class Threads:
    """A thread for each item, for work done elsewhere; they don't keep the process from ending."""

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, as they come in."""
        outcomes: SimpleQueue[Done | Failed] = SimpleQueue()

        def work(index: int) -> None:
            outcomes.put(attempt(function, items[index], index))

        for index in range(len(items)):
            threading.Thread(target=work, args=(index,), daemon=True).start()
        for _ in items:
            yield outcomes.get()

    def close(self) -> None:
        """Nothing to let go."""


def attempt(function: Callable[[Item], Any], item: Item, index: int) -> Done | Failed:
    """Carry out one call in this process, and time it."""
    begin = time.perf_counter()
    try:
        value = function(item)
    except Exception as error:
        return Failed(index, one_line(error), time.perf_counter() - begin, platform.node())
    return Done(index, value, time.perf_counter() - begin, platform.node())


def one_line(error: BaseException) -> str:
    """The kind of an error and what it says; hwnas's own say enough by themselves."""
    kind = "" if isinstance(error, HwnasError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())
