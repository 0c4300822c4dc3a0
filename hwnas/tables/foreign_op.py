"""`ForeignOp`: an operation of somebody else's table that hwnas has no kind for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.space.op import Op


@dataclass(frozen=True, kw_only=True)
class ForeignOp(Op):
    """Kept in a table so that nothing of it is lost; no space has it, and nothing is known of it but its input.

    Attributes:
        text: how its own table names it.
    """

    kind: ClassVar[str] = "foreign"
    text: str

    @property
    def out_shape(self) -> tuple[int, int, int]:
        raise TypeError(f"the output's size of [{self}] isn't known")

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"
