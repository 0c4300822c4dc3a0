"""Sampling rules: which single-path models an update of the supernet trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from hwnas.arrays import Archs, Indices
from hwnas.errors import ConfigError
from hwnas.graph.count import cost, peak_elements
from hwnas.graph.foldable import is_linear
from hwnas.graph.graph import Op
from hwnas.registry import Registry
from hwnas.space.chain import ChainSpace


class PathSampler(ABC):
    """Deals the paths of one update after another; its state survives in JSON.

    Args:
        space: whose layers.
        generator: draws; must be one whose state is plain values (PCG64, numpy's default).
        paths: single-path models of an update; when None as the rule has it, here as many as the most choices.

    Attributes:
        counts: per layer, how often each choice was dealt.
        first_teaches: whether the other paths of an update learn from the first one's output.

    Raises:
        ConfigError: the rule takes another number of paths.
    """

    first_teaches = False

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        self._space = space
        self._generator = generator
        self._paths = paths or int(space.num_choices.max())
        self.counts: list[Indices] = [np.zeros(count, dtype=np.int64) for count in space.num_choices]

    @abstractmethod
    def next(self, done: float) -> Archs:
        """The paths of the next update: (m, L). ``done`` in [0, 1) is how much of the training lies behind it."""

    def paths(self, done: float) -> int:
        """m, the number of paths of the next update."""
        return self._paths

    def choices_in_play(self, done: float) -> Indices:
        """(L,) how many choices of each layer the next update draws from; here, all."""
        return self._space.num_choices

    def _counted(self, archs: Archs) -> Archs:
        for counts, column in zip(self.counts, archs.T, strict=True):
            counts += np.bincount(column, minlength=len(counts))
        return archs

    def state(self) -> dict[str, Any]:
        """Everything that decides the paths to come, in plain values."""
        return {
            "generator": self._generator.bit_generator.state,
            "counts": [counts.tolist() for counts in self.counts],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self._generator.bit_generator.state = state["generator"]
        self.counts = [np.array(counts, dtype=np.int64) for counts in state["counts"]]


class UniformPaths(PathSampler):
    """Each choice drawn uniformly and independently (SPOS, arXiv 1904.00420, §3)."""

    def next(self, done: float) -> Archs:
        return self._counted(self._space.sample(self._paths, self._generator))


class FairDeck(PathSampler):
    """Strict fairness (FairNAS, arXiv 1907.01845, §3), for layers that may differ in their number of choices.

    Each layer has a shuffled deck of its choices, dealt without replacement and refilled when it is empty. So
    in every layer, after every card, the counts of any two choices differ by at most 1. Where all layers have
    as many choices as an update has paths, that is FairNAS's rule: each choice once an update.
    """

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths)
        self._decks: list[list[int]] = [[] for _ in space.layers]

    def next(self, done: float) -> Archs:
        in_play = self._in_play(done)
        return self._counted(np.array([self._cards(in_play) for _ in range(self.paths(done))], dtype=np.int64))

    def _in_play(self, done: float) -> list[list[int]]:
        return [list(range(len(choices))) for choices in self._space.layers]

    def _cards(self, in_play: list[list[int]]) -> list[int]:
        for deck, choices in zip(self._decks, in_play, strict=True):
            if not deck:
                deck.extend(self._generator.permutation(choices).tolist())
        return [deck.pop() for deck in self._decks]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "decks": [list(deck) for deck in self._decks]}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._decks = [list(deck) for deck in state["decks"]]


class ProgressivePaths(FairDeck):
    """Depth, then width, opened step by step (after Once-for-all, arXiv 1908.09791, §3.3), fair at every step.

    Until a quarter of the training is done, no layer is skipped and only the widest choices are dealt; skips come into
    play then, the narrower choices at half. An update has as many paths as the largest layer has choices in play, so
    each of those is trained once an update at every step.
    """

    SKIPS_FROM, NARROWER_FROM = 0.25, 0.5

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths)
        self._fixed_paths = paths
        self._phase = 0

    def next(self, done: float) -> Archs:
        if (phase := self._phase_at(done)) != self._phase:
            self._phase, self._decks = phase, [[] for _ in self._decks]
        return super().next(done)

    def paths(self, done: float) -> int:
        return self._fixed_paths or int(self.choices_in_play(done).max())

    def choices_in_play(self, done: float) -> Indices:
        return np.array([len(choices) for choices in self._in_play(done)])

    def _phase_at(self, done: float) -> int:
        return int(done >= self.SKIPS_FROM) + int(done >= self.NARROWER_FROM)

    def _in_play(self, done: float) -> list[list[int]]:
        phase = self._phase_at(done)
        return [_in_play(choices, skips=phase >= 1, narrower=phase >= 2) for choices in self._space.layers]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "phase": self._phase}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._phase = state["phase"]


def _in_play(choices: tuple[Op, ...], *, skips: bool, narrower: bool) -> list[int]:
    """Indices of a layer's choices in play, never none: without ``skips``, those that add depth where there are any."""
    deep = [not is_linear(op) for op in choices]
    widths = [peak_elements(op) if adds else 0 for op, adds in zip(choices, deep, strict=True)]
    return [
        index
        for index, (adds, width) in enumerate(zip(deep, widths, strict=True))
        if (narrower or width == max(widths) if adds else skips or not any(deep))
    ]


class SandwichPaths(PathSampler):
    """The largest network, the smallest, and random ones between (US-Nets, arXiv 1903.05134, §3.1–3.2).

    The largest learns from the labels, the others from it (in-place distillation). Largest and smallest take in
    every layer the choice with the most and with the fewest multiply-adds.
    """

    first_teaches = True
    _PATHS = 4  # as in US-Nets §3.2

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths or self._PATHS)
        if self._paths < 3:
            raise ConfigError(f"sampling 'sandwich' needs paths_per_update of 3 or more, got {self._paths}")
        smallest = [int(np.argmin(_madds(choices))) for choices in space.layers]
        self._ends = np.array([largest_arch(space), smallest], dtype=np.int64)

    def next(self, done: float) -> Archs:
        between = self._space.sample(self._paths - len(self._ends), self._generator)
        return self._counted(np.concatenate([self._ends, between]))


def largest_arch(space: ChainSpace) -> tuple[int, ...]:
    """In every layer the choice with the most multiply-adds."""
    return tuple(int(np.argmax(_madds(choices))) for choices in space.layers)


def _madds(choices: tuple[Op, ...]) -> list[int]:
    """Of each choice of a layer; a skip has none."""
    return [0 if op.skips else cost(op).madds for op in choices]


SAMPLERS = Registry[type[PathSampler]](
    "hwnas.samplers",
    "sampling rule",
    {"strict-fair": FairDeck, "uniform": UniformPaths, "sandwich": SandwichPaths, "progressive": ProgressivePaths},
    ConfigError,
)
"""Classes of rules."""
