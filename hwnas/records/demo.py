"""What the demo leaves and returns: ``steps.json``, how all in its folder was made, and the numbers at the end."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from hwnas.record import FileRecord, Fraction, Record
from hwnas.records.model import ImageCount
from hwnas.space.arch import Arch
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space


class Step(Record):
    """One step; ``command`` can be typed as it stands, ``facts`` are what came out."""

    name: str
    command: str
    seconds: float
    facts: dict[str, str] = Field(default_factory=dict)


class StepsRecord(FileRecord):
    """All of them, in their order."""

    SCHEMA = "hwnas-steps/1"
    REMEDY = "make the folder anew"

    steps: tuple[Step, ...]


class DemoRecord(Record):
    """What the demo found.

    Attributes:
        front: of each arch on the front its values, by objective, in the order of the search.
        accuracy: of the winner, fine-tuned, on ``accuracy_images`` that it has never seen.
        predicted_when_searched_ms: of the winner, by the table as it was.
        drift: how much longer the table's own networks took when the winner was timed.
        predicted_ms, low_ms, high_ms: of the winner with this drift, and its 90 % interval.
    """

    space: SpaceRef
    choices: tuple[int, ...]
    front_choices: tuple[tuple[int, ...], ...]
    front: tuple[dict[str, float], ...]
    artifact: Path
    report: Path
    accuracy: Fraction
    accuracy_images: ImageCount | None = None
    budget_ms: float
    predicted_when_searched_ms: float
    drift: float
    predicted_ms: float
    low_ms: float | None
    high_ms: float | None
    measured_ms: float

    @property
    def arch(self) -> Arch:
        """The winner."""
        return Arch(get_space(self.space), self.choices)
