"""`Transitions`: what a network consists of, decision by decision, as a walk through a few states.

A choice adds a bundle of ops, and which bundle depends on what lies behind it only by a small state: whether a
stabilizer in front of it would fold, and so on. Everything that is a sum or a maximum over a network's ops
(multiply-adds, latency, size, peak memory), every budget on one, and the network itself are read from this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import Literal

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Indices, Values
from hwnas.graph.graph import Op

Bundle = tuple[tuple[str, Op], ...]
"""Ops with their places in the network, in the order in which they compute."""

Join = Literal["sum", "max"]
"""How the costs of a network's ops become the network's."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """The walk goes from the last decision to the first, since what a choice adds depends on what reads it.

    It begins behind the last decision in state 0. With choice c at decision l, what was in state s gets
    ``bundles[l][c][s]`` in front of it, and is in state ``states[l, c, s]``.

    Attributes:
        bundles: [L][C][S]; None where the decision has no such choice.
        states: (L, C, S).
        begin: what is behind the last decision.
        end: [S] what comes in front of the first decision.
    """

    bundles: tuple[tuple[tuple[Bundle | None, ...], ...], ...]
    states: Indices
    begin: Bundle
    end: tuple[Bundle, ...]

    def network(self, choices: Archs) -> Bundle:
        """All ops of one arch (L,), in order."""
        parts, state = [self.begin], 0
        for decision in reversed(range(len(choices))):
            bundle = self.bundles[decision][choices[decision]][state]
            assert bundle is not None
            parts.append(bundle)
            state = int(self.states[decision, choices[decision], state])
        parts.append(self.end[state])
        return tuple(part for bundle in reversed(parts) for part in bundle)

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """Every Op that a network may contain, once each."""
        return tuple(dict.fromkeys(op for bundle in (*self.end, *self._steps, self.begin) for _, op in bundle))

    @cached_property
    def chosen(self) -> frozenset[Op]:
        """Those of them that decisions choose among."""
        return frozenset(op for bundle in self._steps for _, op in bundle)

    @cached_property
    def skips(self) -> npt.NDArray[np.int64]:
        """(L,) the choice of each decision that adds nothing behind the end of the network; -1 where none does."""
        empty = [[states[0] == () for states in choices] for choices in self.bundles]
        return np.array([choices.index(True) if any(choices) else -1 for choices in empty], dtype=np.int64)

    @property
    def _steps(self) -> Iterator[Bundle]:
        return (bundle for choices in self.bundles for states in choices for bundle in filter(None, states))

    def lower(self, cost_of: Callable[[Op], float], join: Join) -> Steps:
        """A cost of Ops, and how those of a network's ops join into the network's.

        Args:
            cost_of: one Op's; called once for each distinct one.
            join: whether they are added up, or the largest counts (then none may be negative).
        """
        cost = {op: cost_of(op) for op in self.ops}
        joined: Callable[[float, float], float] = add if join == "sum" else max

        def total(bundle: Bundle | None) -> float:
            if bundle is None:
                return np.nan
            return reduce(joined, (cost[op] for _, op in bundle)) if bundle else 0.0

        costs = np.array([[[total(b) for b in states] for states in choices] for choices in self.bundles], dtype=float)
        begin = total(self.begin)
        return Steps(costs, self.states, np.array([joined(total(bundle), begin) for bundle in self.end]), join)


@dataclass(frozen=True, eq=False)
class Steps:
    """A cost lowered onto a space's transitions: what a dynamic program needs.

    Attributes:
        costs: (L, C, S) what each step of the walk adds; NaN where the decision has no such choice, infinite where the
            choice has no cost.
        states: (L, C, S) as :class:`Transitions` has them.
        end: (S,) what joins it in front of the first decision, all that is fixed included.
        join: whether a network's cost is the sum of its steps, or the largest of them.
    """

    costs: Values
    states: Indices
    end: Values
    join: Join

    def times(self, factor: float) -> Steps:
        """The steps of a multiple of the cost."""
        return replace(self, costs=factor * self.costs, end=factor * self.end)

    def plus(self, fixed: float) -> Steps:
        """The steps of a sum and a fixed amount beside it."""
        return replace(self, end=self.end + fixed)
