"""`DiffRecord`: two models run side by side, and the first value that isn't the same in both."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from hwnas.record import Record
from hwnas.records.model import Count
from hwnas.records.target import Precision

By = Literal["name", "numbers", "graph", "place"]
"""How a value was found to be another's: it is called so; it holds the same; it is computed of the same; it has the
same place among the outputs."""


class NodeValue(Record):
    """A value of a model: what it is called, and the node that gives it, by name and operator."""

    value: str
    node: str
    op: str
    finite: bool

    def __str__(self) -> str:
        name = self.node if self.value.startswith(self.node) else f"{self.node} ({self.value})"
        return name if self.op in name else f"{self.op} {name}"


class ValueDiff(Record):
    """Two values that ought to be the same.

    Attributes:
        max_abs: largest absolute difference; like the others None where one has infinities or NaN that the other
            hasn't.
        max_relative: the same, over the largest magnitude that a's has.
        cosine: least cosine between what both hold for an input.
        sqnr_db: signal to noise; see :func:`hwnas.artifacts.parity.sqnr_db`; None also where nothing tells inputs
            apart, as of one input.
        within: whether it is within the tolerance.
    """

    a: NodeValue
    b: NodeValue
    by: By
    max_abs: NonNegativeFloat | None
    max_relative: NonNegativeFloat | None
    cosine: float | None
    sqnr_db: float | None
    within: bool


class DiffSide(Record):
    """One of the two models.

    Attributes:
        model: as it was named.
        runtime: that ran it, with its options; of a file whose nodes were run as they stand there, None.
        precision: the coarsest that it computes in.
        alone: names of its values that have no counterpart.
        first_not_finite: its first value with an infinity or a NaN.
    """

    model: str
    runtime: str | None
    precision: Precision
    alone: tuple[str, ...]
    first_not_finite: NodeValue | None


class DiffRecord(Record):
    """What running two models side by side gave; the same where ``first`` is None.

    Attributes:
        relative: how large ``max_relative`` may be.
        sqnr_db: how small ``sqnr_db`` may be.
        inputs: where they came from, in words; ``feeds`` is how many there were.
        values: all that have a counterpart, in the order of a's nodes.
        first: the first of them over the tolerance.
        before: what ``first`` was computed of, as far as it has counterparts: all within the tolerance.
        worst: the one with the largest ``max_relative``.
    """

    a: DiffSide
    b: DiffSide
    relative: Annotated[float, Field(gt=0)]
    sqnr_db: float | None
    inputs: str
    feeds: Count
    values: Annotated[tuple[ValueDiff, ...], Field(min_length=1)]
    first: ValueDiff | None
    before: tuple[ValueDiff, ...]
    worst: ValueDiff

    @property
    def same(self) -> bool:
        """Whether everything is within the tolerance."""
        return self.first is None
