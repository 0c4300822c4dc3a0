"""The one measuring loop: everything built first, then many short rounds in a new random order each.

Timed one after the other, two copies of one network differ by 10 % and more on a shared machine, because its
speed drifts, and flips from one second to the next. Three things are done about it:

- rounds are short and many, interleaved in random order, so that drift falls on all entries alike;
- a reference, one of the entries, is timed between all others. How slow it is at a moment, relative to its own median,
  is how slow the machine is, and each run is divided by that;
- the median of all runs counts, and no run is thrown away. The minimum isn't steady: it rewards the entry that met the
  one quiet moment.

Part of profiling kits: Python ≥ 3.8, numpy and ``hwnas.errors`` only.
"""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hwnas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Run = Callable[[], float | None]
    """One inference; returns the nanoseconds that the device's own clock counted, or None: then the host's counts."""

_REFERENCE_MS = 0.2
"""The reference is the shortest entry that takes this long: short enough to be timed often, long enough to be timed."""
_AROUND = 2
"""Readings of the reference before and after an entry's runs, whose median is the machine's speed at that moment."""
_SPEEDS = 20
"""Moments, at least, that are compared to tell how steady the machine is."""
_CLOCK_STEPS = 100
"""So many runs that took no time or less, before measuring is given up."""
_MOST = 1e9  # rounds, runs or seconds


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        confidence: relative half-width asked of the 95 % confidence interval of each entry's median.
        rounds: passes over all entries, at least.
        runs_per_round: timed runs of an entry in one pass; one untimed run goes before them, since the others have
            taken the caches. A machine's slow moments outlast a few runs, so more rounds teach more than more runs.
        warmup_runs: untimed runs of each entry before the first round.
        at_least_s: measure for so many seconds even when the confidence is there. Short calls measured within one slow
            spell of the machine would all be wrong alike.
        at_most_s: end after so many seconds even when it isn't.

    Raises:
        ConfigError: an effort that nobody can make.
    """

    confidence: float = 0.02
    rounds: int = 8
    runs_per_round: int = 2
    warmup_runs: int = 3
    at_least_s: float = 8.0
    at_most_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 1 if name in ("rounds", "runs_per_round") else 0
            if not isinstance(value, (int, float)) or not least <= value <= _MOST:
                raise ConfigError(f"{name} must be {least} to {_MOST:.0e}, got {value!r}")


class Round(NamedTuple):
    """One pass over all entries; what a journal keeps.

    Attributes:
        order: indices of the entries in the order of their visits.
        runs_ns: for each visit its timed runs.
        reference_ns: the reference's time before each visit, and after the last: one more than visits.
    """

    order: list[int]
    runs_ns: list[list[float]]
    reference_ns: list[float]


@dataclass(frozen=True)
class Statistics:
    """Of one entry's runs, each divided by the machine's slowness at that moment.

    Attributes:
        p50_ms, p10_ms, p90_ms: median, 10th and 90th percentile.
        count: runs.
        confidence_95: relative half-width of the median's 95 % confidence interval, from the scatter of the rounds.
    """

    p50_ms: float
    p10_ms: float
    p90_ms: float
    count: int
    confidence_95: float


class Measurement(NamedTuple):
    """What a measuring gave.

    Attributes:
        statistics: in the order of the calls.
        reference: index of the call that was the reference.
        rounds: passes that were made.
        confidence_95: of the entry that is known the least.
        unsteadiness_90: half-width, relative, of the range that holds the middle 90 % of the machine's speeds from
            one second to the next: what keeps a measurement at another moment from agreeing with this one.
        drift: how much longer the reference took in the last quarter of the rounds than in the first (ratio).
        clock_steps: runs repeated because the clock went backwards or stood still.
    """

    statistics: list[Statistics]
    reference: int
    rounds: int
    confidence_95: float
    unsteadiness_90: float
    drift: float
    clock_steps: int


class ClockError(Exception):
    """The clock goes backwards, or is too coarse for what is to be timed."""


def measure(
    calls: Sequence[Run],
    effort: Effort,
    rng: np.random.Generator,
    *,
    earlier: Sequence[Round] = (),
    reference: int | None = None,
    on_round: Callable[[Round, int], None] | None = None,
    progress: Callable[[float, str], None] | None = None,
    clock: Callable[[], float] = time.perf_counter_ns,
) -> Measurement:
    """Latency of each call, and how steady the machine was meanwhile.

    Args:
        calls: ready to run; nothing is built here.
        effort: how long.
        rng: draws the orders.
        earlier: rounds of the same calls made before, as by a process that was killed.
        reference: index of the reference; chosen if not given.
        on_round: called with each new round and the reference's index, to keep it.
        progress: called after each round and at the end with the share of the work done and how well the medians are
            known.
        clock: in nanoseconds.

    Raises:
        ClockError: the clock is unusable.
    """
    timer = _Timer(clock)
    for call in calls:
        for _ in range(effort.warmup_runs):
            call()
    if reference is None:
        reference = _choose_reference([timer.time(call) for call in calls])
    rounds = list(earlier)
    for _ in earlier:
        rng.permutation(len(calls))  # so that the orders go on as if never interrupted
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be timed
    try:
        elapsed_s, last_ns = sum(map(round_seconds, earlier)), clock()
        look_again = effort.rounds
        known_to = float("inf")
        while True:
            now_ns = clock()
            elapsed_s += max(0.0, now_ns - last_ns) / 1e9  # a clock that steps back mustn't undo what has passed
            last_ns = now_ns
            if len(rounds) >= look_again and elapsed_s >= effort.at_least_s:
                known_to = float(_confidence_95(_corrected(rounds)).max())
                look_again = len(rounds) + 1 + len(rounds) // 10  # looking costs time as well
            if known_to <= effort.confidence or (len(rounds) >= effort.rounds and elapsed_s >= effort.at_most_s):
                break
            rounds.append(_round(calls, calls[reference], effort.runs_per_round, rng, timer))
            if on_round:
                on_round(rounds[-1], reference)
            if progress:
                by_time = elapsed_s / max(effort.at_most_s, 1e-9)
                by_confidence = (effort.confidence / known_to) ** 2 if known_to > 0 else 1.0
                share = min(len(rounds) / effort.rounds, max(by_time, by_confidence), 0.99)  # 1 is the end
                progress(share, _known_to(known_to))
    finally:
        if collecting:
            gc.enable()
    found = summarize(rounds, reference, timer.steps)
    if progress:
        progress(1.0, _known_to(found.confidence_95))
    return found


def _known_to(confidence: float) -> str:
    """In words; nothing while too few rounds tell it."""
    return f"medians known to ±{confidence:.1%}" if confidence < 10 else ""


def summarize(rounds: Sequence[Round], reference: int, clock_steps: int = 0) -> Measurement:
    """The statistics of rounds of the same calls."""
    corrected = _corrected(rounds)
    confidence_95 = _confidence_95(corrected)
    statistics = []
    for runs_ns, confidence in zip(corrected.reshape(len(corrected), -1), confidence_95):
        p10, p50, p90 = (float(p) / 1e6 for p in np.percentile(runs_ns, (10, 50, 90)))
        statistics.append(Statistics(p50, p10, p90, runs_ns.size, float(confidence)))
    readings_ns = [np.array(done.reference_ns) for done in rounds]
    quarter = max(1, len(rounds) // 4)
    drift = np.median(np.concatenate(readings_ns[-quarter:])) / np.median(np.concatenate(readings_ns[:quarter]))
    return Measurement(
        statistics,
        reference,
        len(rounds),
        float(confidence_95.max()),
        _unsteadiness_90(rounds),
        float(drift),
        clock_steps,
    )


class _Timer:
    """Times calls; counts runs that the clock got wrong, and repeats them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.steps = 0

    def time(self, call: Run) -> float:
        while True:
            start = self._clock()
            counted_ns = call()
            duration_ns = counted_ns if isinstance(counted_ns, float) else self._clock() - start
            if duration_ns > 0:
                return duration_ns
            self.steps += 1
            if self.steps >= _CLOCK_STEPS:
                raise ClockError("the clock stands still or goes backwards while a network runs; measure elsewhere")


def _choose_reference(once_ns: Sequence[float]) -> int:
    long_enough = [ns for ns in once_ns if ns >= _REFERENCE_MS * 1e6]
    return list(once_ns).index(min(long_enough) if long_enough else max(once_ns))


def _round(calls: Sequence[Run], reference: Run, runs: int, rng: np.random.Generator, timer: _Timer) -> Round:
    order = [int(index) for index in rng.permutation(len(calls))]
    runs_ns, reference_ns = [], []
    for index in order:
        reference()
        reference_ns.append(timer.time(reference))
        call = calls[index]
        call()
        runs_ns.append([timer.time(call) for _ in range(runs)])
    reference()
    reference_ns.append(timer.time(reference))
    return Round(order, runs_ns, reference_ns)


def _corrected(rounds: Sequence[Round]) -> npt.NDArray[np.float64]:
    """Runs in ns divided by the machine's slowness around them: (entries, rounds, runs)."""
    usual_ns = np.median(np.concatenate([done.reference_ns for done in rounds]))
    corrected = np.empty((len(rounds[0].order), len(rounds), len(rounds[0].runs_ns[0])))
    for number, done in enumerate(rounds):
        padded = np.pad(np.array(done.reference_ns), _AROUND - 1, mode="edge")
        around = np.stack([padded[shift : shift + len(done.order)] for shift in range(2 * _AROUND)])
        slowness = np.median(around, axis=0) / usual_ns
        corrected[done.order, number] = np.array(done.runs_ns) / slowness[:, None]
    return corrected


def _confidence_95(corrected_ns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of samples (entries, rounds, runs): relative half-width of each median's 95 % interval, (entries,).

    Runs of one round met the same moment, so rounds are what is independent: the median's standard error is
    √(π/2) · σ / √rounds (asymptotic, of a normal distribution), σ robust from the median absolute deviation.
    """
    of_rounds = np.median(corrected_ns, axis=2)
    median = np.median(of_rounds, axis=1)
    sigma = 1.4826 * np.median(np.abs(of_rounds - median[:, None]), axis=1)
    return np.asarray(1.96 * np.sqrt(np.pi / 2) * sigma / np.sqrt(of_rounds.shape[1]) / median)


def round_seconds(done: Round) -> float:
    """What a round took, by what was timed and the untimed run before each."""
    return float(1.5 * np.sum(done.runs_ns) + 2 * np.sum(done.reference_ns)) / 1e9


def _unsteadiness_90(rounds: Sequence[Round]) -> float:
    """From the reference's times: slowness of each second, or less where few have passed, relative to the whole."""
    readings_ns = np.concatenate([done.reference_ns for done in rounds])
    visits_ns = np.concatenate([np.append(np.sum(done.runs_ns, axis=1), 0.0) for done in rounds])
    passed_ns = np.cumsum(visits_ns + 2 * readings_ns)
    second = passed_ns // min(1e9, passed_ns[-1] / _SPEEDS)
    slowness = [np.median(readings_ns[second == each]) for each in np.unique(second)] / np.median(readings_ns)
    low, high = np.percentile(slowness, (5, 95))
    return float((high - low) / 2)
