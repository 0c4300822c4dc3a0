"""`Front`: the non-dominated archs that a search found, with all that their numbers mean; kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from hwnas.arrays import Archs, Values
from hwnas.errors import ModelError
from hwnas.files import validated
from hwnas.optimize.problem import Budget
from hwnas.optimize.rank import hypervolume


@dataclass(frozen=True, eq=False, kw_only=True)
class Front:
    """Non-dominated archs and their values.

    Attributes:
        space, resolution, classes: what ``get_space`` takes to make the space again.
        objective_names, maximize: the K objectives and their directions.
        budgets: what held for all points.
        archs: (P, L) choices.
        values: (P, K) in the objectives' own signs and units.
        reference: (K,) what the hypervolume is measured from.
        evaluations: how many archs the search evaluated for it.
        seed: of the search.
    """

    space: str
    resolution: int
    classes: int
    objective_names: tuple[str, ...]
    maximize: tuple[bool, ...]
    budgets: tuple[Budget, ...]
    archs: Archs
    values: Values
    reference: Values
    evaluations: int
    seed: int

    @property
    def hypervolume(self) -> float:
        """Volume between the points and the reference point; only comparable between equal reference points."""
        return hypervolume(self.values, self.reference, self.maximize)

    def to_dict(self) -> dict[str, Any]:
        """What a front's JSON file holds."""
        return {
            "space": self.space,
            "resolution": self.resolution,
            "classes": self.classes,
            "objectives": [
                {"name": name, "maximize": maximize}
                for name, maximize in zip(self.objective_names, self.maximize, strict=True)
            ],
            "budgets": [{"objective": b.objective_name, "at_most": float(b.at_most)} for b in self.budgets],
            "evaluations": self.evaluations,
            "seed": self.seed,
            "reference": self.reference.tolist(),
            "hypervolume": self.hypervolume,
            "points": [
                {"choices": arch.tolist(), "values": values.tolist()}
                for arch, values in zip(self.archs, self.values, strict=True)
            ],
        }

    @staticmethod
    def from_dict(data: Any, where: str) -> Front:
        """The front that ``to_dict`` described.

        Args:
            data: parsed JSON.
            where: what errors call it, such as the file's path.

        Raises:
            ModelError: a field is missing, of the wrong type or size, NaN or unknown, or the hypervolume isn't that
                of the points; the field's path is named.
        """
        model = validated(_FrontModel, data, where, ModelError)
        names = [objective.name for objective in model.objectives]
        _check(len(set(names)) == len(names), where, "objectives", "a name stands twice")
        for index, budget in enumerate(model.budgets):
            _check(budget.objective in names, where, f"budgets.{index}.objective", f"{budget.objective} is none")
        _check(len(model.reference) == len(names), where, "reference", f"must have {len(names)} numbers")
        for index, point in enumerate(model.points):
            layers = len(model.points[0].choices)
            _check(len(point.choices) == layers, where, f"points.{index}.choices", f"must have {layers} choices")
            _check(len(point.values) == len(names), where, f"points.{index}.values", f"must have {len(names)} numbers")
        front = Front(
            space=model.space,
            resolution=model.resolution,
            classes=model.classes,
            objective_names=tuple(names),
            maximize=tuple(objective.maximize for objective in model.objectives),
            budgets=tuple(Budget(budget.objective, budget.at_most) for budget in model.budgets),
            archs=_rows([point.choices for point in model.points], np.int64),
            values=_rows([point.values for point in model.points], np.float64).reshape(-1, len(names)),
            reference=np.array(model.reference, dtype=np.float64),
            evaluations=model.evaluations,
            seed=model.seed,
        )
        same = isclose(front.hypervolume, model.hypervolume, rel_tol=1e-9)
        _check(same, where, "hypervolume", f"the points have {front.hypervolume!r}, got {model.hypervolume!r}")
        return front


def _check(good: bool, where: str, field: str, what: str) -> None:
    if not good:
        raise ModelError(f"{where}: {field}: {what}")


def _rows(rows: list[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.array(rows, dtype=dtype).reshape(len(rows), -1) if rows else np.empty((0, 0), dtype=dtype)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _ObjectiveModel(_Model):
    name: Annotated[str, Field(min_length=1)]
    maximize: bool


class _BudgetModel(_Model):
    objective: str
    at_most: Annotated[FiniteFloat, Field(gt=0)]


class _PointModel(_Model):
    choices: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1)]
    values: list[FiniteFloat]


class _FrontModel(_Model):
    space: Annotated[str, Field(min_length=1)]
    resolution: Annotated[int, Field(gt=0)]
    classes: Annotated[int, Field(gt=0)]
    objectives: Annotated[list[_ObjectiveModel], Field(min_length=1)]
    budgets: list[_BudgetModel]
    evaluations: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    reference: list[FiniteFloat]
    hypervolume: Annotated[FiniteFloat, Field(ge=0)]
    points: list[_PointModel]
