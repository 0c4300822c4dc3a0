"""A search finds the same whoever evaluates: in how many processes, in which order, and however many of them die."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hwnas.arrays import Archs, Values
from hwnas.optimize import Budget, Objective, SearchResult, run_search
from hwnas.workers.base import Workers
from hwnas.workers.registry import get_workers
from tests.optimize.problems import MACRO, layer_sum, table

EVALUATIONS = 60


@dataclass(frozen=True)
class Quality:
    """Takes longer for some archs than for others, and kills its worker over each of ``deadly`` that it sees first."""

    deadly: frozenset[int] = frozenset()
    folder: Path = field(default_factory=Path)

    def __call__(self, archs: Archs) -> Values:
        values = 100 * (1 - np.exp(-layer_sum(MACRO, table(MACRO, 1))(archs) / 8))
        number = int(archs[0] @ 3 ** np.arange(8))
        if number in self.deadly and not (self.folder / str(number)).exists():
            (self.folder / str(number)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.002 * (number % 4))
        return values


def found(workers: Workers | None, quality: Quality, seed: int = 3) -> SearchResult:
    cost = layer_sum(MACRO, table(MACRO, 2))
    objectives = [Objective("quality", quality, maximize=True), Objective("cost_ms", cost, free=True)]
    return run_search(MACRO, objectives, [Budget("cost_ms", 11.0)], evaluations=EVALUATIONS, seed=seed, workers=workers)


def as_bytes(result: SearchResult) -> tuple[bytes, bytes, bytes]:
    return result.archs.tobytes(), result.values.tobytes(), result.front.tobytes()


@pytest.fixture(scope="module")
def here() -> SearchResult:
    return found(None, Quality())


def test_the_same_whoever_evaluates(workers: Workers, here: SearchResult) -> None:
    result = found(workers, Quality())
    assert len(result.archs) == EVALUATIONS
    assert as_bytes(result) == as_bytes(here)
    assert as_bytes(found(workers, Quality(), seed=4)) != as_bytes(here)


def test_two_deaths_lose_nothing(other_processes: Workers, here: SearchResult, tmp_path: Path) -> None:
    numbers = here.archs @ 3 ** np.arange(8)
    deadly = frozenset(int(number) for number in numbers[[7, 40]])
    assert as_bytes(found(other_processes, Quality(deadly, tmp_path))) == as_bytes(here)
    assert {int(path.name) for path in tmp_path.iterdir()} == deadly


def test_an_arch_that_kills_every_worker_is_a_failure_of_that_arch(here: SearchResult, tmp_path: Path) -> None:
    number = int(here.archs[7] @ 3 ** np.arange(8))
    never_written = Quality(frozenset({number}), tmp_path / "no folder")
    with closing(get_workers("2")) as workers:
        result = found(workers, never_written)
    ((arch, reason),) = result.failed
    assert arch.tolist() == here.archs[7].tolist()
    assert reason
    assert len(result.archs) == EVALUATIONS - 1
