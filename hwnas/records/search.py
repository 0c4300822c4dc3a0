"""What a search asks for, finds and, where its front is measured, learns: the class that is written, read and shown."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, GetCoreSchemaHandler, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator
from pydantic_core import CoreSchema, core_schema

from hwnas.arrays import Archs, Values
from hwnas.record import FileRecord, Record, difference
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space
from hwnas.tables.table import Quantile

_Index = Annotated[int, Field(ge=0, le=2**31)]


class _Rows:
    """An array (N, M) of a record, in files a list of rows."""

    def __init__(self, item: Any) -> None:
        self._item = item

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        rows = core_schema.list_schema(core_schema.list_schema(handler.generate_schema(self._item)))
        given = core_schema.no_info_before_validator_function(_listed, rows)
        written = core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
        return core_schema.no_info_after_validator_function(self._array, given, serialization=written)

    def _array(self, rows: list[list[Any]]) -> np.ndarray[Any, Any]:
        if len({len(row) for row in rows}) > 1:
            raise ValueError("its rows differ in length")
        kind = np.float64 if self._item is float else np.int64
        array = np.array(rows, dtype=kind).reshape(len(rows), len(rows[0]) if rows else 0)
        array.flags.writeable = False
        return array


def _listed(rows: Any) -> Any:
    return rows.tolist() if isinstance(rows, np.ndarray) else rows


class SearchedSupernet(Record):
    """Whose inherited accuracy was searched for.

    Attributes:
        run: its folder.
        sha256: of its weights.
        images: of the validation part, on which accuracies were found; older files don't say.
    """

    run: Path
    sha256: str
    images: Annotated[int, Field(ge=1, le=2**60)] | None = None


class SearchedTable(Record):
    """A device that was searched for.

    Attributes:
        name: by which objectives and files tell its table from others.
        device: in one line.
        sha256: of what the table says.
        budget_ms: on the median; None for none.
        interpolated: ops of the space that the table lacks and a kernel model answered for.
    """

    name: str
    path: Path | None
    sha256: str
    device: str
    budget_ms: PositiveFloat | None
    interpolated: _Index = 0


class SearchObjective(Record):
    """A column of a search's values.

    Attributes:
        unit: ``fraction`` (shown in percent), ``ms``, ``madds``, ``params``, ``MB``, another word that is written
            behind the number, or nothing.
        weight: for strategies that want a single number.
        table: index of the table that predicts it; None where none does.
        quantile: of a network's runs that the table predicts.
    """

    name: Annotated[str, Field(min_length=1)]
    unit: str
    maximize: bool
    weight: NonNegativeFloat = 1.0
    table: _Index | None = None
    quantile: Quantile | None = None


class FailedArch(Record):
    """An arch that couldn't be evaluated, and why."""

    choices: tuple[_Index, ...]
    reason: str


class Baseline(Record):
    """How far random archs come, from the same reference point."""

    evaluations: int
    hypervolume_history: tuple[float, ...]


class MeasuredNetwork(Record):
    """One latency of a network of the front, measured.

    Attributes:
        predicted_ms: when it was searched.
        refitted_ms: by the table after its refit.
        measured_ms: of the objective's quantile, divided by ``drift``, as are all percentiles.
        confidence_95: relative half-width of the median's 95 % confidence interval.
        drift: how many times as slow the machine was as when the table was made.
    """

    index: _Index
    objective: str
    predicted_ms: float
    refitted_ms: float
    measured_ms: PositiveFloat
    measured_p10_ms: PositiveFloat
    measured_p50_ms: PositiveFloat
    measured_p90_ms: PositiveFloat
    confidence_95: NonNegativeFloat | None
    drift: PositiveFloat
    budget_ms: PositiveFloat | None
    within: bool
    on_front: bool


class MeasuredObjective(Record):
    """What is known of a latency after networks of the front were measured.

    Attributes:
        device: in one line.
        table: the refitted table's file in the search folder.
        confidence_95: of the median that is known the least.
        error_90: half-width, relative, of the refitted table's interval for a median.
        drift: median of the networks'; None where none could be measured.
        error_before, error_after: mean absolute relative errors of the predictions when searched, and of the refitted
            calibration for networks that it is fitted without.
        budget_as_searched_ms: how high the budget would have had to be for the table as it was to let the same archs
            in as the refitted one; None without a budget.
    """

    objective: str
    device: str
    table: str
    confidence_95: NonNegativeFloat | None
    error_90: NonNegativeFloat | None
    drift: PositiveFloat | None
    error_before: NonNegativeFloat | None
    error_after: NonNegativeFloat | None
    budget_as_searched_ms: float | None


class UnmeasurableArch(Record):
    """An arch, by its index among the search's, that the device can't run, and why."""

    index: _Index
    reason: str


class MeasuredFront(Record):
    """A front that was measured on this machine.

    Attributes:
        unmeasured: indices of the final front's archs that weren't measured.
        failed: archs that can't be run.
    """

    rounds: int
    unmeasured: tuple[_Index, ...]
    failed: tuple[UnmeasurableArch, ...]
    points: tuple[MeasuredNetwork, ...]
    objectives: tuple[MeasuredObjective, ...]

    def points_of(self, objective: str) -> tuple[MeasuredNetwork, ...]:
        """Those of one latency."""
        return tuple(point for point in self.points if point.objective == objective)


class _Asked(FileRecord):
    """What decides the course of a search; its length may change when it is resumed.

    Attributes:
        stabilizers: whether networks keep what those with inherited weights must.
        supernet: None where accuracies come from elsewhere.
        budgets: objective's name -> at most.
    """

    space: SpaceRef
    stabilizers: bool
    supernet: SearchedSupernet | None
    tables: tuple[SearchedTable, ...]
    strategy: str
    objectives: Annotated[tuple[SearchObjective, ...], Field(min_length=1)]
    budgets: dict[str, PositiveFloat]
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _objectives_are_told_apart(self) -> Self:
        names = [objective.name for objective in self.objectives]
        if len(set(names)) < len(names):
            raise ValueError("objectives: a name stands twice")
        if unknown := [name for name in self.budgets if name not in names]:
            raise ValueError(f"budgets: {unknown[0]} is no objective")
        if any(o.table is not None and o.table >= len(self.tables) for o in self.objectives):
            raise ValueError(f"objectives: there are {len(self.tables)} tables only")
        return self


class SearchSettings(_Asked):
    """``settings.json``: what a search was begun with; it is resumed with the same.

    Attributes:
        store: file of the evaluations; None where none are kept.
    """

    SCHEMA = "hwnas-search-settings/1"
    REMEDY = "search anew"

    store: Path | None

    def changed(self, begun: SearchSettings) -> str | None:
        """The first thing in which these aren't the settings that a search was begun with, and what it was."""
        return difference(begun._content(), self._content())

    def _content(self) -> dict[str, Any]:
        """What must stay as it was: of the supernet and the tables what they hold, wherever they lie."""
        plain = self.plain()
        if self.supernet and self.store:
            store, run = self.store.resolve(), self.supernet.run.resolve()
            plain["store"] = f"{store.name} beside the supernet" if store.parent == run else str(store)
        of_tables = [{"sha256": each.sha256, "budget_ms": each.budget_ms} for each in self.tables]
        return plain | {"supernet": self.supernet and {"sha256": self.supernet.sha256}, "tables": of_tables}


class SearchRecord(_Asked):
    """``search.json``: everything that a search evaluated.

    Attributes:
        archs: (M, L) in the order of their evaluation.
        values: (M, K) in the objectives' own signs and units, as searched.
        failed: archs that couldn't be evaluated; they aren't among ``archs``.
        front: ascending indices of the archs within budget that none within budget dominates; after measuring, by
            measured values.
        winner_index: of the front's archs the best in the first objective, of equals in the second; measured ones only,
            where the front was measured. None without any.
        reference: (K,) what hypervolumes are measured from.
        hypervolume_history: of the archs within budget after each evaluation, by values as searched.
    """

    SCHEMA = "hwnas-search/2"
    REMEDY = "search again: with the store of its evaluations that takes a moment"

    archs: Annotated[Archs, _Rows(_Index)]
    values: Annotated[Values, _Rows(float)]
    failed: tuple[FailedArch, ...] = ()
    front: tuple[_Index, ...]
    winner_index: _Index | None
    reference: tuple[float, ...]
    hypervolume: NonNegativeFloat
    hypervolume_history: tuple[float, ...]
    baseline: Baseline | None = None
    measured: MeasuredFront | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        count, columns = len(self.archs), len(self.objectives)
        if len(self.values) != count or (count and self.values.shape[1] != columns):
            raise ValueError(f"values: must have {columns} numbers for each of {count} archs")
        if len(self.reference) != columns:
            raise ValueError(f"reference: must have {columns} numbers")
        indices = [*self.front, *([] if self.winner_index is None else [self.winner_index])]
        if measured := self.measured:
            indices += [*measured.unmeasured, *(f.index for f in measured.failed), *(p.index for p in measured.points)]
        if max(indices, default=-1) >= count:
            raise ValueError(f"there is no arch {max(indices)}, there are {count}")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchRecord) and self.plain() == other.plain()

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def _space(self) -> ChainSpace:
        found = get_space(self.space)
        return found.inheriting() if self.stabilizers else found

    def get_space(self) -> ChainSpace:
        """The space that was searched, wherever its YAML file may be.

        Raises:
            SpaceError: it isn't the same any more.
        """
        return self._space

    def arch(self, index: int) -> Arch:
        """An evaluated arch."""
        return Arch(self.get_space().plain(), tuple(self.archs[index].tolist()))

    @property
    def winner(self) -> Arch | None:
        """The arch to go on with; None where none is on the front."""
        return None if self.winner_index is None else self.arch(self.winner_index)

    @property
    def evaluations(self) -> int:
        """How many archs were evaluated, those that failed among them."""
        return len(self.archs) + len(self.failed)

    @property
    def accuracy_images(self) -> int | None:
        """On how many images accuracies were found; None where they come from elsewhere, or nobody wrote it down."""
        return self.supernet.images if self.supernet else None

    def latency_column(self, table: int) -> int | None:
        """Which column of the values is the median latency by a table."""
        return next((k for k, o in enumerate(self.objectives) if o.table == table and o.quantile == "p50"), None)

    def measured_point(self, table: int, index: int | None) -> MeasuredNetwork | None:
        """What an arch takes on the device of a table, if its median was measured after the search."""
        column = self.latency_column(table)
        points = self.measured.points_of(self.objectives[column].name) if self.measured and column is not None else ()
        return next((point for point in points if point.index == index), None)

    def index_of(self, arch: Arch) -> int | None:
        """Where an arch is among those evaluated; None where it isn't."""
        return next((i for i, choices in enumerate(self.archs.tolist()) if tuple(choices) == arch.choices), None)
