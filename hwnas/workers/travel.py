"""How a call travels to another process, and what keeps its fate."""

from __future__ import annotations

import pickle
import platform
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hwnas.errors import InputError
from hwnas.workers.base import Done, Failed
from hwnas.workers.here import attempt, one_line

MOST_DEATHS = 3
"""An item over which so many workers died is given up."""


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
