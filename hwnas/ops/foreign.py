"""`ForeignOp`: an operation of somebody else's table that hwnas has no kind for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hwnas.errors import SpaceError
from hwnas.graph.graph import Graph, Shape
from hwnas.ops.block import Block


@dataclass(frozen=True, kw_only=True)
class ForeignOp(Block):
    """Kept in a table so that nothing of it is lost; no space has it, and nothing is known of it but its input.

    Attributes:
        text: how its own table names it.
    """

    kind: ClassVar[str] = "foreign"
    text: str

    @classmethod
    def taking(cls, shape: Shape) -> dict[str, Any]:
        raise SpaceError(f"{cls.kind} can't stand in a chain: nothing is known of what it computes")

    def expand(self) -> Graph:
        raise TypeError(f"nothing is known of what [{self}] computes")

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"
