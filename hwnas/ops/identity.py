"""`Identity`: a skip with nothing to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import INPUT, Graph, Op, Shape


@dataclass(frozen=True, kw_only=True)
class Identity(Op):
    """What comes in goes on as it is, in a supernet as well: no network has it, nothing of it is measured.

    A transformer's block adds to its input, which so is of one kind before and behind it, and layer norm takes what
    scale it has. A stabilizer there would stand between two residuals, where it can't fold.
    """

    kind: ClassVar[str] = "identity"
    skips: ClassVar[bool] = True
    starts_as_identity: ClassVar[bool] = True
    shape: Shape

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return (self.shape,)

    def expand(self) -> Graph:
        return Graph((self.shape,), (), (INPUT,))
