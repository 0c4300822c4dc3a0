"""How long something that is under way will still take."""

from __future__ import annotations

from bisect import bisect_right

_SAMPLES = 100  # kept of all the time so far


class Pace:
    """Tells the time left from the pace of the latter half of the time so far.

    A resumed search replays what is stored in no time, a first step loads and compiles: neither says how the rest goes,
    and neither lies in the latter half for long.

    Args:
        done: steps done when it begins.
        now_s: time, on any clock that only goes forward.
    """

    def __init__(self, done: int, now_s: float) -> None:
        self._begin(done, now_s)

    def _begin(self, done: int, now_s: float) -> None:
        self._start_s = now_s
        self._last = (now_s, done)
        self._samples = [self._last]

    def update(self, done: int, now_s: float) -> None:
        """So many steps are done now; fewer than before mean that it began anew."""
        if done < self._last[1]:
            self._begin(done, now_s)
            return
        if now_s - self._samples[-1][0] > (now_s - self._start_s) / _SAMPLES:
            self._samples = [*self._samples[self._halfway(now_s) :], self._last]
        self._last = (now_s, done)

    def left_s(self, total: int, now_s: float) -> float | None:
        """Seconds until ``total`` steps are done; None as long as nobody can tell."""
        last_s, done = self._last
        since_s, before = self._samples[self._halfway(now_s)]
        if done >= total:
            return 0.0
        if last_s <= (self._start_s + now_s) / 2 or done == before:
            return None
        return max(0.0, (total - done) * (last_s - since_s) / (done - before) - (now_s - last_s))

    def _halfway(self, now_s: float) -> int:
        """Index of the last sample in the first half of the time."""
        half_s = (self._start_s + now_s) / 2
        return max(0, bisect_right(self._samples, half_s, key=lambda sample: sample[0]) - 1)


def rough(seconds: float) -> str:
    """A duration as one says it: ``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
