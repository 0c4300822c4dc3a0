"""`Front`: the non-dominated archs that a search found, with all that their numbers mean."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from hwnas.arrays import Archs, Values
from hwnas.optimize.pareto import hypervolume
from hwnas.record import FileRecord, Record
from hwnas.space.ref import SpaceRef


class FrontObjective(Record):
    """A name, and whether more is better."""

    name: Annotated[str, Field(min_length=1)]
    maximize: bool


class FrontBudget(Record):
    """What held for all points."""

    objective: str
    at_most: Annotated[float, Field(gt=0)]


class FrontPoint(Record):
    """An arch, and its values in the objectives' own signs and units."""

    choices: Annotated[tuple[Annotated[int, Field(ge=0, le=2**31)], ...], Field(min_length=1)]
    values: tuple[float, ...]


class Front(FileRecord):
    """``front.json``: P non-dominated archs and their values; ``front.json:N`` is point N, from 0, wherever an arch is.

    Attributes:
        space: whose archs.
        objectives: K of them.
        budgets: what held for all points.
        evaluations: how many archs the search evaluated for it.
        seed: of the search.
        reference: (K,) what the hypervolume is measured from.
        hypervolume: only comparable between equal reference points.
        points: in the order of the search.
    """

    SCHEMA = "hwnas-front/2"
    REMEDY = "search again: with the store of its evaluations that takes a moment"

    space: SpaceRef
    objectives: Annotated[tuple[FrontObjective, ...], Field(min_length=1)]
    budgets: tuple[FrontBudget, ...]
    evaluations: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    reference: tuple[float, ...]
    hypervolume: Annotated[float, Field(ge=0)]
    points: tuple[FrontPoint, ...]

    @property
    def archs(self) -> Archs:
        """(P, L) choices."""
        if not self.points:
            return np.empty((0, 0), dtype=np.int64)
        return np.array([point.choices for point in self.points], dtype=np.int64)

    @property
    def values(self) -> Values:
        """(P, K) in the objectives' own signs and units."""
        return np.array([point.values for point in self.points], dtype=np.float64).reshape(-1, len(self.objectives))

    @classmethod
    def of_plain(cls, data: Any, where: Path | str) -> Self:
        front = super().of_plain(data, where)
        volume = hypervolume(front.values, front.reference, [objective.maximize for objective in front.objectives])
        if not isclose(volume, front.hypervolume, rel_tol=1e-9):
            raise cls.ERROR(f"{where}: hypervolume: the points have {volume!r}, got {front.hypervolume!r}")
        return front

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        names = [objective.name for objective in self.objectives]
        _check(len(set(names)) == len(names), "objectives", "a name stands twice")
        for index, budget in enumerate(self.budgets):
            _check(budget.objective in names, f"budgets.{index}.objective", f"{budget.objective} is none")
        _check(len(self.reference) == len(names), "reference", f"must have {len(names)} numbers")
        for index, point in enumerate(self.points):
            layers = len(self.points[0].choices)
            _check(len(point.choices) == layers, f"points.{index}.choices", f"must have {layers} choices")
            _check(len(point.values) == len(names), f"points.{index}.values", f"must have {len(names)} numbers")
        return self


def _check(good: bool, field: str, what: str) -> None:
    if not good:
        raise ValueError(f"{field}: {what}")
