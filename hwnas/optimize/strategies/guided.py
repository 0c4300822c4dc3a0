"""Guided search: models of what costs something, refitted after every batch, say which archs would improve the front.

Bayesian optimisation by expected hypervolume improvement (Emmerich et al. 2006 §3), in batches (Ginsbourger et al.
2010 §4.1, the Kriging believer). One thing is added: what free objectives say of an arch is known exactly, so only the
others are uncertain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hwnas.arrays import Archs, Indices, Values
from hwnas.optimize.pareto import front_within
from hwnas.optimize.strategies.parts.batches import BatchStrategy
from hwnas.optimize.strategies.parts.improvement import Gap, gap_of
from hwnas.optimize.strategies.parts.surrogate import Features, Surrogate
from hwnas.optimize.strategies.parts.vary import mutate, uniform_crossover

_PROBABILITIES = (np.arange(8) + 0.5) / 8
_INITIAL = 20  # archs to begin with, spread over the free objectives
_SPREAD_OVER = 100
_BATCH = 5  # archs between two refits
_ROUNDS = 6
_BRED = 400
_PARENTS = 50


class Guided(BatchStrategy):
    """Proposes, a batch at a time, the archs that are expected to add most hypervolume to the front.

    Under a budget, every other batch is for the first objective alone: who gives a budget wants the best within it, and
    to a front's hypervolume its end adds little.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._features = Features(self.problem)
        self._batches = 0
        self._paid = [k for k, objective in enumerate(self.problem.objectives) if not objective.free]

    def propose(self) -> Archs:
        """The next batch; archs to begin with until two of them could be evaluated, which a model takes."""
        if len(self.archs) < 2:
            drawn = self.seen.novel(self.region.sample(_SPREAD_OVER * _INITIAL, self.rng))
            return self.fill_up(self.spread_out(drawn, _INITIAL), _INITIAL)
        minimised = self.problem.minimised(self.values)
        self._batches += 1
        alone = self.problem.budgets and self._batches % 2 == 0
        columns = slice(0, 1 if alone else None)
        within = self.problem.excess(self.values) <= 0
        # well beyond the worst, so that a front's ends are worth something
        reference = minimised.max(axis=0) + np.ptp(minimised, axis=0)
        gap = gap_of(minimised[within, columns], reference[columns], self.rng)
        models = {k: Surrogate(self._features, self.archs, -minimised[:, k]) for k in self._paid}
        candidates = self._candidates(lambda archs: self._weighed(archs, models, gap, columns))
        return self.fill_up(candidates.archs[_greedy(gap, candidates, _BATCH)], _BATCH)

    def _candidates(self, weighed: Callable[[Archs], _Candidates]) -> _Candidates:
        """New archs with what they may turn out to be: random ones, children of the front, and then of the most
        promising of these, which climbs to where the models see most to gain."""
        front = front_within(self.problem, self.values)
        begun = np.concatenate([self.region.sample(_BRED, self.rng), self._children(self.archs[front])])
        found = weighed(self.seen.novel(begun))
        for _ in range(_ROUNDS - 1):
            best = np.argsort(-found.gains, kind="stable")[:_PARENTS]
            more = np.concatenate([found.archs, self._children(found.archs[best])])
            found = found.joined(weighed(self.seen.novel(more)[len(found.archs) :]))
        return found

    def _children(self, parents: Archs) -> Archs:
        if not len(parents):
            return parents
        mothers, fathers = parents[self.rng.integers(0, len(parents), (2, _BRED))]
        crossed = uniform_crossover(mothers, fathers, 0.5, self.rng)
        return self.region.repair(mutate(self.problem.space, crossed, 1 / crossed.shape[1], self.rng), self.rng)

    def _weighed(self, archs: Archs, models: dict[int, Surrogate], gap: Gap, columns: slice) -> _Candidates:
        values = np.empty((len(archs), len(_PROBABILITIES), len(self.problem.objectives)))
        for k, objective in enumerate(self.problem.objectives):
            if k in models:
                # each in an order of its own, so that not all objectives turn out well at once
                order = np.random.default_rng(k).permutation(_PROBABILITIES)
                values[:, :, k] = -models[k].quantiles(archs, order)
            else:
                values[:, :, k] = objective.minimised(archs)[:, None]
        flat = values.reshape(-1, values.shape[2])
        excess = self.problem.excess(self.problem.minimised(flat)).reshape(values.shape[:2])
        values[excess > 0] = np.inf
        counting, over = values[..., columns], excess.mean(axis=1)
        return _Candidates(archs, counting, over, _gain(gap, counting, over))


class _Candidates(NamedTuple):
    """Archs that may be evaluated.

    Attributes:
        archs: (N, L).
        values: (N, Q, K) minimised values that each may turn out to have, equally likely, of the objectives that
            count; infinite over a budget.
        excess: (N,) by how much each will be over the budgets, on average.
        gains: (N,) hypervolume that each adds on average; where none, its excess, negative.
    """

    archs: Archs
    values: Values
    excess: Values
    gains: Values

    def joined(self, other: _Candidates) -> _Candidates:
        return _Candidates._make(np.concatenate(pair) for pair in zip(self, other, strict=True))


def _gain(gap: Gap, values: Values, excess: Values) -> Values:
    gained = gap.gained(values).mean(axis=1)
    return np.where(gained > 0, gained, -excess)


def _greedy(gap: Gap, candidates: _Candidates, count: int) -> Indices:
    """Up to ``count`` candidates, each the best once those before it are believed to turn out average.

    What a candidate adds only falls as others join, so a gain computed earlier is an upper bound, and only that of
    the one on top has to be computed anew (Minoux 1978).
    """
    gains = candidates.gains.copy()
    joined_when_computed = np.zeros(len(gains), dtype=np.int64)
    chosen: list[int] = []
    while len(chosen) < min(count, len(gains)):
        top = int(np.argmax(gains))
        if joined_when_computed[top] < len(chosen):
            gains[top] = _gain(gap, candidates.values[[top]], candidates.excess[[top]])[0]
            joined_when_computed[top] = len(chosen)
            continue
        chosen.append(top)
        gains[top] = -np.inf
        gap = gap.with_point(candidates.values[top].mean(axis=0))
    return np.array(chosen, dtype=np.int64)
