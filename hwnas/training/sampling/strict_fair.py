"""Strict-fair sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.arrays import Archs
from hwnas.space.chain import ChainSpace
from hwnas.training.sampling.base import CountingSampler


class FairDeck(CountingSampler):
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
