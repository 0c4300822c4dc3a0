"""``steps.json``: how everything in a folder was made, step by step."""

from __future__ import annotations

from pydantic import Field

from hwnas.record import FileRecord, Record


class Step(Record):
    """One step; ``command`` can be typed again as it stands, ``facts`` are what came out."""

    name: str
    command: str
    seconds: float
    facts: dict[str, str] = Field(default_factory=dict)


class StepsRecord(FileRecord):
    """All of them, in their order."""

    SCHEMA = "hwnas-steps/1"
    REMEDY = "make the folder anew"

    steps: tuple[Step, ...]
