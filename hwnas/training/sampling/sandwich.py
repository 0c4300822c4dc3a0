"""The sandwich rule, and the largest and smallest archs of a space, which are its ends."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Archs
from hwnas.errors import ConfigError
from hwnas.graph.count import cost
from hwnas.graph.graph import Op
from hwnas.space.chain import ChainSpace
from hwnas.training.sampling.base import CountingSampler


class SandwichPaths(CountingSampler):
    """The largest network, the smallest, and random ones between (US-Nets, arXiv 1903.05134, §3.1–3.2).

    The largest learns from the labels, the others from it (in-place distillation). Largest and smallest take in
    every layer the choice with the most and with the fewest multiply-adds; a skip has none.
    """

    first_teaches = True
    _PATHS = 4  # as in US-Nets §3.2

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths or self._PATHS)
        if self._paths < 3:
            raise ConfigError(f"sampling 'sandwich' needs paths_per_update of 3 or more, got {self._paths}")
        self._ends = np.array([largest_arch(space), smallest_arch(space)], dtype=np.int64)

    def next(self, done: float) -> Archs:
        between = self._space.sample(self._paths - len(self._ends), self._generator)
        return self._counted(np.concatenate([self._ends, between]))


def largest_arch(space: ChainSpace) -> tuple[int, ...]:
    """In every layer the choice with the most multiply-adds."""
    return tuple(int(np.argmax([_madds(op) for op in choices])) for choices in space.layers)


def smallest_arch(space: ChainSpace) -> tuple[int, ...]:
    """In every layer the choice with the fewest multiply-adds; a skip has none."""
    return tuple(int(np.argmin([_madds(op) for op in choices])) for choices in space.layers)


def _madds(op: Op) -> int:
    return 0 if op.skips else cost(op).madds
