"""`PathSampler`: which single-path models an update of the supernet trains; and what the rules of hwnas share."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from hwnas.arrays import Archs, Indices
from hwnas.space.chain import ChainSpace


class PathSampler(Protocol):
    """Deals the paths of one update after another; its state survives in JSON.

    Attributes:
        counts: per layer, how often each choice was dealt.
        first_teaches: whether the other paths of an update learn from the first one's output.
    """

    counts: list[Indices]
    first_teaches: bool

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        """A sampler of ``space``.

        Args:
            space: whose layers.
            generator: draws; must be one whose state is plain values (PCG64, numpy's default).
            paths: single-path models of an update; as the rule has it when None.

        Raises:
            ConfigError: the rule takes another number of paths.
        """
        ...

    def next(self, done: float) -> Archs:
        """The paths of the next update: (m, L). ``done`` in [0, 1) is how much of the training lies behind it."""
        ...

    def paths(self, done: float) -> int:
        """m, the number of paths of the next update."""
        ...

    def choices_in_play(self, done: float) -> Indices:
        """(L,) how many choices of each layer the next update draws from."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that decides the paths to come, in plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        ...


class CountingSampler:
    """What the rules of hwnas share: the generator and the counts; an update's paths are as many as the most choices.

    Args and attributes are those of :class:`PathSampler`.
    """

    first_teaches = False

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        self._space = space
        self._generator = generator
        self._paths = paths or int(space.num_choices.max())
        self.counts: list[Indices] = [np.zeros(count, dtype=np.int64) for count in space.num_choices]

    def paths(self, done: float) -> int:
        return self._paths

    def choices_in_play(self, done: float) -> Indices:
        return self._space.num_choices

    def _counted(self, archs: Archs) -> Archs:
        for counts, column in zip(self.counts, archs.T, strict=True):
            counts += np.bincount(column, minlength=len(counts))
        return archs

    def state(self) -> dict[str, Any]:
        return {
            "generator": self._generator.bit_generator.state,
            "counts": [counts.tolist() for counts in self.counts],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state["generator"]
        self.counts = [np.array(counts, dtype=np.int64) for counts in state["counts"]]


def spread_of_counts(sampler: PathSampler) -> int:
    """The largest difference, over layers, between the most and the least trained choice of a layer."""
    return max(int(counts.max() - counts.min()) for counts in sampler.counts)
