"""Which single-path models an update of the supernet trains."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hwnas.space.space import Archs, Space


class PathSampler(Protocol):
    """Deals the paths of one update after another; its state survives in JSON.

    Attributes:
        paths: m, single-path models of an update.
        counts: per layer, how often each choice was dealt.
    """

    paths: int
    counts: list[npt.NDArray[np.int64]]

    def next(self) -> Archs:
        """The paths of the next update: (m, L)."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that decides the paths to come, in plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        ...


class _Sampler:
    """What both rules share: paths per update, counts and the generator."""

    def __init__(self, space: Space, generator: np.random.Generator, paths: int | None = None) -> None:
        self._space = space
        self._generator = generator
        self.paths = paths or int(space.num_choices.max())
        self.counts = [np.zeros(count, dtype=np.int64) for count in space.num_choices]

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


class FairDeck(_Sampler):
    """Strict fairness (FairNAS, arXiv 1907.01845, §3), for layers that may differ in their number of choices.

    Each layer has a shuffled deck of its choices, dealt without replacement and refilled when it is empty. So
    in every layer, after every card, the counts of any two choices differ by at most 1. Where all layers have
    as many choices as an update has paths, that is FairNAS's rule: each choice once an update.

    Args:
        space: whose layers.
        generator: shuffles; must be one whose state is plain values (PCG64, numpy's default).
        paths: single-path models of an update; the largest number of choices when None.
    """

    def __init__(self, space: Space, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths)
        self._decks: list[list[int]] = [[] for _ in space.layers]

    def next(self) -> Archs:
        return self._counted(np.array([self._deal() for _ in range(self.paths)], dtype=np.int64))

    def _deal(self) -> list[int]:
        for deck, choices in zip(self._decks, self._space.layers, strict=True):
            if not deck:
                deck.extend(self._generator.permutation(len(choices)).tolist())
        return [deck.pop() for deck in self._decks]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "decks": [list(deck) for deck in self._decks]}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._decks = [list(deck) for deck in state["decks"]]


class UniformPaths(_Sampler):
    """Each choice drawn uniformly and independently (SPOS, arXiv 1904.00420, §3); arguments as ``FairDeck``."""

    def next(self) -> Archs:
        return self._counted(self._space.sample(self.paths, self._generator))


SAMPLERS: dict[str, type[FairDeck] | type[UniformPaths]] = {"strict-fair": FairDeck, "uniform": UniformPaths}


def spread_of_counts(sampler: PathSampler) -> int:
    """The largest difference, over layers, between the most and the least trained choice of a layer."""
    return max(int(counts.max() - counts.min()) for counts in sampler.counts)
