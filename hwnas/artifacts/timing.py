"""Files of any runtimes, timed in the same interleaved rounds: what ``export`` and ``bench`` measure with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from hwnas.arrays import Array
from hwnas.errors import ModelError, first_line
from hwnas.profiling.timer import ClockError, Effort, measure
from hwnas.progress import Progress
from hwnas.runtimes.base import Session
from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Timing(Generic[_Key]):
    """What timing gave; see :class:`hwnas.profiling.timer.Measurement`.

    Attributes:
        latency: of each session that ran to the end.
        failed: why the others didn't.
        confidence_95: of the latency that is known the least.
        unsteadiness_90: of the machine meanwhile.
    """

    latency: dict[_Key, Latency]
    failed: dict[_Key, str]
    confidence_95: float
    unsteadiness_90: float


def time_sessions(
    sessions: Mapping[_Key, tuple[Session, Sequence[Array]]],
    effort: Effort,
    seed: int = 0,
    progress: Progress | None = None,
) -> Timing[_Key]:
    """Latency of each session for its inputs, all in turn in orders drawn from ``seed``.

    A session that fails, be it in the middle, is left out and the others are timed anew. ``progress`` is called with
    (what, done, total, note).

    Raises:
        ModelError: none of them runs, or the clock is unusable.
    """
    calls: dict[_Key, Callable[[], float | None]] = {}
    failed: dict[_Key, str] = {}

    def guarded(key: _Key, call: Callable[[], float | None]) -> float | None:
        try:
            return call()
        except Exception as error:  # whatever a runtime raises: the rest goes on
            failed[key] = first_line(error)
            raise _CallFailedError from error

    def told(share: float, text: str) -> None:
        if progress:
            progress("measuring", int(100 * share), 100, text)

    for key, (session, inputs) in sessions.items():
        try:
            calls[key] = partial(guarded, key, session.bind(inputs))
        except Exception as error:
            failed[key] = first_line(error)
    while calls:
        try:
            found = measure(list(calls.values()), effort, np.random.default_rng(seed), progress=told)
        except _CallFailedError:
            calls = {key: call for key, call in calls.items() if key not in failed}
        except ClockError as error:
            raise ModelError(str(error)) from None
        else:
            return Timing(
                latency={key: Latency(**asdict(each)) for key, each in zip(calls, found.statistics, strict=True)},
                failed=failed,
                confidence_95=found.confidence_95,
                unsteadiness_90=found.unsteadiness_90,
            )
    raise ModelError(f"no file could be timed: {next(iter(failed.values()), 'there is none')}")


class _CallFailedError(Exception):
    pass
