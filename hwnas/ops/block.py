"""`Block`: an Op of images, made of primitives. A new one is a file beside this and its name in ``hwnas.ops``."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.errors import SpaceError
from hwnas.graph.graph import Op, Shape
from hwnas.graph.primitives import ACTIVATIONS, Draft


@dataclass(frozen=True, kw_only=True)
class Block(Op):
    """What every block says: its input's shape and its output's channels. ``expand`` says all else."""

    c_in: int
    h_in: int
    w_in: int
    c_out: int

    def __post_init__(self) -> None:
        super().__post_init__()
        act = getattr(self, "act", None)
        if act and act not in ACTIVATIONS:
            raise SpaceError(f"op {self.kind}: act must be one of {', '.join(ACTIVATIONS)}, got {act!r:.80}")

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return ((self.c_in, self.h_in, self.w_in),)

    def draft(self) -> Draft:
        """To write the expansion with."""
        return Draft(self.in_shapes[0])
