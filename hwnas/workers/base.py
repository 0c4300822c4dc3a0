"""`Workers`: who carries out calls that don't depend on each other, how a call travels, and what is said of it."""

from __future__ import annotations

import pickle
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hwnas.errors import HwnasError, InputError

MOST_DEATHS = 3
"""An item over which so many workers died is given up."""

Item = TypeVar("Item")


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
        """Let the workers go, where there are any."""
        return


def attempt(function: Callable[[Item], Any], item: Item, index: int) -> Done | Failed:
    """Carry out one call in this process, and time it."""
    begin = time.perf_counter()
    try:
        value = function(item)
    except Exception as error:
        return Failed(index, one_line(error) + _where(error), time.perf_counter() - begin, platform.node())
    return Done(index, value, time.perf_counter() - begin, platform.node())


def one_line(error: BaseException) -> str:
    """The kind of an error and what it says; hwnas's own say enough by themselves."""
    kind = "" if isinstance(error, HwnasError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


def _where(error: Exception) -> str:
    """File and line of what raised, where it isn't hwnas that says what is wrong; no paths, which are of a machine."""
    if isinstance(error, HwnasError):
        return ""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f" ({Path(last.filename).name}, line {last.lineno})"


def packed(function: Callable[..., Any], dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """A function as bytes.

    Raises:
        InputError: it can't travel.
    """
    try:
        return dumps(function)
    except Exception as error:
        why = one_line(error)
        raise InputError(f"{function!r:.100} can't be sent to workers ({why}); define it in a module") from None


@lru_cache(maxsize=1)
def _unpacked(function: bytes) -> Callable[[Any], Any]:
    """The same object call after call, so that what it has loaded stays loaded."""
    unpacked: Callable[[Any], Any] = pickle.loads(function)  # noqa: S301  (what this very run has packed)
    return unpacked


def carry_out(function: bytes, item: Any, index: int) -> Done | Failed:
    """One call in the process where it arrived; what can't be unpacked there, or travel back, is a failure, too."""
    begin = time.perf_counter()
    try:
        outcome = attempt(_unpacked(function), item, index)
        pickle.dumps(outcome)
    except Exception as error:
        return Failed(index, one_line(error), time.perf_counter() - begin, platform.node())
    return outcome


def given_up(index: int, last: str) -> Failed:
    """The outcome of an item over which :data:`MOST_DEATHS` workers died; ``last`` says how the last one did."""
    return Failed(index, f"its worker died {MOST_DEATHS} times (the last: {last})", 0.0, platform.node())
