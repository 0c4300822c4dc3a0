"""Regions of any functions within any limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.space.space import Space


def region_of(space: Space, *limits: tuple[Callable[[Archs], Values], float], name: str = "cost") -> FeasibleRegion:
    """The archs whose values are at most the limits; the objectives are called ``name``, then ``name1`` and so on."""
    objectives = tuple(Objective(f"{name}{i or ''}", fn, free=True) for i, (fn, _) in enumerate(limits))
    budgets = tuple(Budget(o.name, at_most) for o, (_, at_most) in zip(objectives, limits, strict=True))
    return FeasibleRegion(Problem(space, objectives, budgets))


def unlisted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a large space, where archs can't be looked at one by one."""
    monkeypatch.setattr("hwnas.optimize.feasible.limits._LISTED", -1)


def unknown(fn: Callable[[Archs], Values]) -> Callable[[Archs], Values]:
    """The same function, no longer known to be a sum or a maximum."""
    return lambda archs: fn(archs)
