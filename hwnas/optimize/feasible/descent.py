"""The ways from an arch to a better one, a layer at a time: down any function, and back within the budgets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible.limits import Limits
from hwnas.space.space import Space

_ARCHS_AT_ONCE = 64


def descend(space: Space, fn: Callable[[Archs], Values], start: Archs) -> tuple[Archs, float]:
    """An arch (L,) that no single-layer change improves, and its value: a layer after the other takes its best choice.

    It is the best of all where each layer adds to ``fn`` on its own, which one sweep minimises. Of any other function
    it is a local minimum.

    Args:
        space: whose archs.
        fn: archs (N, L) -> (N,) finite numbers; called once for each layer and sweep.
        start: (L,) the arch to begin at.
    """
    arch, value = start.copy(), float(fn(start[None])[0])
    improved = True
    while improved:  # ends, because the value falls in every sweep but the last and there are finitely many archs
        improved = False
        for layer, count in enumerate(space.num_choices):
            options = np.repeat(arch[None], count, axis=0)
            options[:, layer] = np.arange(count)
            values = fn(options)
            best = int(np.argmin(values))
            if values[best] < value:
                arch, value, improved = options[best], float(values[best]), True
    return arch, value


def repair(limits: Limits, anchor: Archs, archs: Archs, rng: np.random.Generator) -> Archs:
    """(N, L) archs, those over a budget changed until they are within.

    Of the single-layer changes that bring an arch within, one is taken at random. Where there is none, a random layer
    takes the choice that is best for the budgets, and so on; each layer has its turn once. What is still over then goes
    to the anchor (L,), layer by layer, so this ends.
    """
    repaired = archs.copy()
    over = np.flatnonzero(~limits.contain(archs))
    for start in range(0, len(over), _ARCHS_AT_ONCE):
        rows = over[start : start + _ARCHS_AT_ONCE]
        repaired[rows] = _repair(limits, anchor, archs[rows], rng)
    return repaired


def _repair(limits: Limits, anchor: Archs, archs: Archs, rng: np.random.Generator) -> Archs:
    counts = limits.space.num_choices  # of all single-layer changes, the layer and the choice are:
    layers, choices = np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts])
    over = np.arange(len(archs))
    turns = rng.permuted(np.tile(np.arange(len(counts)), (len(archs), 1)), axis=1)
    for turn in turns.T:
        changed = np.repeat(archs[over, None], len(layers), axis=1)
        changed[:, np.arange(len(layers)), layers] = choices
        excess = limits.largest_excess(changed.reshape(-1, archs.shape[1])).reshape(len(over), -1)
        within = excess <= 0
        fixed = within.any(axis=1)
        at_random = ((1 - rng.random(within.shape)) * within).argmax(axis=1)
        best = np.where(layers == turn[over, None], excess, np.inf).argmin(axis=1)
        archs[over] = changed[np.arange(len(over)), np.where(fixed, at_random, best)]
        over = over[~fixed]
        if not len(over):
            return archs
    for turn in turns.T:
        archs[over, turn[over]] = anchor[turn[over]]
        over = over[~limits.contain(archs[over])]
        if not len(over):
            break
    return archs
