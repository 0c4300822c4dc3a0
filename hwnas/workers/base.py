"""`Workers`: who carries out calls that don't depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Done:
    """A call that came back.

    Attributes:
        index: of its item.
        value: what the function returned.
        seconds: how long it took, where it ran.
        host: the name of the machine where it ran.
    """

    index: int
    value: Any
    seconds: float
    host: str


@dataclass(frozen=True)
class Failed:
    """A call that raised, or whose worker died over it time and again.

    Attributes:
        index: of its item.
        reason: one line: the kind of error, and what it said.
        seconds, host: as for :class:`Done`.
    """

    index: int
    reason: str
    seconds: float
    host: str


class Workers(Protocol):
    """Carries out ``function(item)`` for each item, in whatever order and wherever it likes.

    A worker that dies takes nothing with it: its item is given to another one. What raises is a :class:`Failed`, and
    the others go on. The values don't depend on who computed them, so neither does what is made of them.
    """

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, as they come in; ``function``, items and values travel between processes."""

    def close(self) -> None:
        """Let the workers go."""
