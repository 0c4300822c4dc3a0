"""Which workers ``--workers`` means; `Here` and `Threads` are this process, one item after the other or all at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from hwnas.errors import ConfigError
from hwnas.workers.base import Done, Failed, Item, Workers, attempt


def get_workers(text: str | int) -> Workers:
    """The workers that a text names; ``close`` them in the end.

    Args:
        text: ``1`` for this process alone, ``N`` for so many processes on this machine, ``ray`` for a Ray on this
            machine, which ends with the workers, ``ray:ADDRESS`` for a running cluster: ``ray:HOST:PORT``,
            ``ray:auto`` for the one that this machine is part of, ``ray:ray://HOST:PORT`` for its client server.

    Raises:
        ConfigError: none of these, or nothing answers at the address.
        RuntimeMissingError: Ray isn't installed.
    """
    text = str(text)
    if re.fullmatch(r"[1-9]\d{0,3}", text):
        if text == "1":
            return Here()
        from hwnas.workers.local import LocalProcesses  # loads multiprocessing

        return LocalProcesses(int(text))
    name, colon, address = text.partition(":")
    if name == "ray" and bool(colon) == bool(address) and re.fullmatch(r"[!-~]*", address):
        from hwnas.workers.on_ray import OnRay  # loads Ray

        return OnRay(address or None)
    raise ConfigError(f"workers are a number of processes (1 or more), ray or ray:ADDRESS, got {text!r:.100}")


class Here(Workers):
    """No workers at all."""

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, in their order."""
        for index, item in enumerate(items):
            yield attempt(function, item, index)


class Threads(Workers):
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
