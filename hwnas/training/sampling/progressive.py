"""Progressive sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.arrays import Archs, Indices
from hwnas.graph.count import peak_elements
from hwnas.graph.foldable import is_linear
from hwnas.graph.graph import Op
from hwnas.space.chain import ChainSpace
from hwnas.training.sampling.strict_fair import FairDeck


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
        return self._deal(self._in_play(phase), self.paths(done))

    def paths(self, done: float) -> int:
        return self._fixed_paths or int(self.choices_in_play(done).max())

    def choices_in_play(self, done: float) -> Indices:
        return np.array([len(choices) for choices in self._in_play(self._phase_at(done))])

    def _phase_at(self, done: float) -> int:
        return int(done >= self.SKIPS_FROM) + int(done >= self.NARROWER_FROM)

    def _in_play(self, phase: int) -> list[list[int]]:
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
