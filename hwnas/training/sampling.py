"""Which single-path models an update of the supernet trains: one class per rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs
from hwnas.errors import ConfigError
from hwnas.graph.count import cost
from hwnas.graph.folding import is_linear
from hwnas.graph.graph import Op, expanded
from hwnas.registry import Registry
from hwnas.space.chain import ChainSpace


class PathSampler(Protocol):
    """Deals the paths of one update after another; its state survives in JSON.

    Attributes:
        counts: per layer, how often each choice was dealt.
        first_teaches: whether the other paths of an update learn from the first one's output.
    """

    counts: list[npt.NDArray[np.int64]]
    first_teaches: bool

    def next(self, done: float) -> Archs:
        """The paths of the next update: (m, L). ``done`` in [0, 1) is how much of the training lies behind it."""
        ...

    def paths(self, done: float) -> int:
        """m, the number of paths of the next update."""
        ...

    def choices_in_play(self, done: float) -> npt.NDArray[np.int64]:
        """(L,) how many choices of each layer the next update draws from."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that decides the paths to come, in plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        ...


class _Sampler:
    """What all rules share: the generator and the counts.

    Args:
        space: whose layers.
        generator: draws; must be one whose state is plain values (PCG64, numpy's default).
        paths: single-path models of an update; the largest number of choices when None.
    """

    first_teaches = False

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        self._space = space
        self._generator = generator
        self._paths = paths or int(space.num_choices.max())
        self.counts = [np.zeros(count, dtype=np.int64) for count in space.num_choices]

    def paths(self, done: float) -> int:
        return self._paths

    def choices_in_play(self, done: float) -> npt.NDArray[np.int64]:
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


class UniformPaths(_Sampler):
    """Each choice drawn uniformly and independently (SPOS, arXiv 1904.00420, §3)."""

    def next(self, done: float) -> Archs:
        return self._counted(self._space.sample(self._paths, self._generator))


class FairDeck(_Sampler):
    """Strict fairness (FairNAS, arXiv 1907.01845, §3), for layers that may differ in their number of choices.

    Each layer has a shuffled deck of its choices, dealt without replacement and refilled when it is empty. So
    in every layer, after every card, the counts of any two choices differ by at most 1. Where all layers have
    as many choices as an update has paths, that is FairNAS's rule: each choice once an update.
    """

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths)
        self._decks: list[list[int]] = [[] for _ in space.layers]

    def next(self, done: float) -> Archs:
        return self._deal([list(range(len(choices))) for choices in self._space.layers], self._paths)

    def _deal(self, in_play: list[list[int]], paths: int) -> Archs:
        return self._counted(np.array([self._cards(in_play) for _ in range(paths)], dtype=np.int64))

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


class SandwichPaths(_Sampler):
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


class ProgressivePaths(FairDeck):
    """Depth, then expansion, opened step by step (after Once-for-all, arXiv 1908.09791, §3.3), fair at every step.

    Until a quarter of the training is done, no layer is skipped and only the largest expansions are dealt; skips
    come into play then, the other expansions at half. An update has as many paths as the largest layer has
    choices in play, so each of those is trained once an update at every step.
    """

    SKIPS_FROM, EXPANSIONS_FROM = 0.25, 0.5

    def __init__(self, space: ChainSpace, generator: np.random.Generator, paths: int | None = None) -> None:
        super().__init__(space, generator, paths)
        self._fixed_paths = paths
        self._phase = 0

    def next(self, done: float) -> Archs:
        if (phase := self._phase_at(done)) != self._phase:
            self._phase, self._decks = phase, [[] for _ in self._decks]
        return self._deal(self._in_play(phase), self.paths(done))

    def paths(self, done: float) -> int:
        return self._fixed_paths or int(self.choices_in_play(done).max())

    def choices_in_play(self, done: float) -> npt.NDArray[np.int64]:
        return np.array([len(choices) for choices in self._in_play(self._phase_at(done))])

    def _phase_at(self, done: float) -> int:
        return int(done >= self.SKIPS_FROM) + int(done >= self.EXPANSIONS_FROM)

    def _in_play(self, phase: int) -> list[list[int]]:
        return [_open_choices(choices, skips=phase >= 1, expansions=phase >= 2) for choices in self._space.layers]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "phase": self._phase}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._phase = state["phase"]


def largest_arch(space: ChainSpace) -> tuple[int, ...]:
    """In every layer the choice with the most multiply-adds."""
    return tuple(int(np.argmax([_madds(op) for op in choices])) for choices in space.layers)


def smallest_arch(space: ChainSpace) -> tuple[int, ...]:
    """In every layer the choice with the fewest multiply-adds; a skip has none."""
    return tuple(int(np.argmin([_madds(op) for op in choices])) for choices in space.layers)


def _madds(op: Op) -> int:
    return 0 if op.skips else cost(op).madds


def _open_choices(choices: tuple[Op, ...], *, skips: bool, expansions: bool) -> list[int]:
    """Indices of what is in play: without ``expansions`` only blocks with the most inner channels, never nothing."""
    widths = [0 if is_linear(op) else _width(op) for op in choices]
    if not any(widths):
        return list(range(len(choices)))
    return [index for index, width in enumerate(widths) if (skips if not width else expansions or width == max(widths))]


def _width(op: Op) -> int:
    """The most channels that a block has inside."""
    return max(node.op.out_shape[0] for node in expanded(op))


SAMPLERS = Registry[Callable[[ChainSpace, np.random.Generator, int | None], PathSampler]](
    "hwnas.samplers",
    "sampling rule",
    {
        "strict-fair": FairDeck,
        "uniform": UniformPaths,
        "sandwich": SandwichPaths,
        "progressive": ProgressivePaths,
    },
    ConfigError,
)
"""``(space, generator, paths per update or None) -> PathSampler``; raises a ConfigError where paths are too few."""


def spread_of_counts(sampler: PathSampler) -> int:
    """The largest difference, over layers, between the most and the least trained choice of a layer."""
    return max(int(counts.max() - counts.min()) for counts in sampler.counts)
