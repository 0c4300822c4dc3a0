"""`OptimizedRecord`: which rewrites a file's graph went through, what each brought, and the zeros that pad it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import NonNegativeFloat

from hwnas.errors import counted
from hwnas.record import Record, ShortText, Some
from hwnas.tables.table import Milliseconds

Outcome = Literal["never slower", "faster", "no faster", "another is faster", "differs", "can't be run"]


class TriedRewrite(Record):
    """A rewrite that found something in the graph as it then was.

    Attributes:
        name: what it does, in words.
        places: nodes that it rewrites.
        outcome: what became of it; those that are never slower aren't timed.
        before_ms, after_ms: medians of the graph without and with it, timed in the same rounds; None where not timed.
        noise: relative half-width of the 95 % confidence interval of after_ms / before_ms.
    """

    name: ShortText
    places: Some
    outcome: Outcome
    before_ms: Milliseconds | None = None
    after_ms: Milliseconds | None = None
    noise: NonNegativeFloat | None = None

    @property
    def kept(self) -> bool:
        return self.outcome in ("never slower", "faster")

    def __str__(self) -> str:
        told = f"{self.name}, {counted(self.places, 'place')}: {self.outcome}"
        if self.before_ms is not None and self.after_ms is not None and self.noise is not None:
            told += f", {self.before_ms:.3f} to {self.after_ms:.3f} ms (±{self.noise:.1%})"
        return told


class OptimizedRecord(Record):
    """What optimizing a graph gave.

    Attributes:
        rewrites: in the order in which they were tried.
        padded: {name of a constant: its shape without the zeros that it was padded with}.
        merged: {name of a weight: how many groups its convolution had before they were merged}, padding included.
    """

    rewrites: tuple[TriedRewrite, ...]
    padded: Mapping[str, tuple[Some, ...]]
    merged: Mapping[str, Some]
