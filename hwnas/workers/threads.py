"""`Threads`: for work that is done elsewhere, so that this process only waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from hwnas.workers.base import Done, Failed, Item
from hwnas.workers.here import attempt


class Threads:
    """A thread for each item; they don't keep the process from ending."""

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
