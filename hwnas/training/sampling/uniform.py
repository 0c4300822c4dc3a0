"""Uniform sampling."""

from __future__ import annotations

from hwnas.arrays import Archs
from hwnas.training.sampling.base import CountingSampler


class UniformPaths(CountingSampler):
    """Each choice drawn uniformly and independently (SPOS, arXiv 1904.00420, §3)."""

    def next(self, done: float) -> Archs:
        return self._counted(self._space.sample(self._paths, self._generator))
