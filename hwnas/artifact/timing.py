"""Files of any runtimes, timed in the same interleaved rounds: what ``export`` and ``bench`` measure with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from hwnas.profile.timer import Effort, measure
from hwnas.progress import Progress
from hwnas.runtimes.base import Session
from hwnas.tables.table import Latency

_Key = TypeVar("_Key", bound=Hashable)


def time_sessions(
    sessions: Mapping[_Key, tuple[Session, tuple[int, int, int, int]]],
    effort: Effort,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[_Key, Latency]:
    """Latency of each session for images of a shape (N, C, H, W), all in turn in random order.

    Args:
        sessions: each with the shape of its (random) images.
        effort: how long to measure.
        seed: of images and orders.
        progress: called with (what, done, total).
    """
    rng = np.random.default_rng(seed)
    calls = [session.bind(rng.standard_normal(shape, dtype=np.float32)) for session, shape in sessions.values()]

    def told(share: float, text: str) -> None:
        if progress:
            progress("measuring", round(100 * share), 100, text)

    statistics = measure(calls, effort, rng, progress=told).statistics
    return {key: Latency(**asdict(entry)) for key, entry in zip(sessions, statistics, strict=True)}
