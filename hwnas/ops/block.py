"""`Block` and `TokenBlock`: Ops made of primitives, of images and of tokens. A new one is a file beside this and its
name in ``hwnas.ops``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwnas.errors import SpaceError
from hwnas.graph.draft import Draft
from hwnas.graph.graph import Op, Shape
from hwnas.graph.primitives import ACTIVATIONS


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

    @classmethod
    def taking(cls, shape: Shape) -> dict[str, Any]:
        return _by_name(cls, ("c_in", "h_in", "w_in"), shape, "images (C, H, W)")

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return ((self.c_in, self.h_in, self.w_in),)

    def draft(self) -> Draft:
        """To write the expansion with."""
        return Draft(self.in_shapes[0])


@dataclass(frozen=True, kw_only=True)
class TokenBlock(Op):
    """The same of tokens: how many, and their channels."""

    tokens: int
    c_in: int

    @classmethod
    def taking(cls, shape: Shape) -> dict[str, Any]:
        return _by_name(cls, ("tokens", "c_in"), shape, "tokens (N, C)")

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return ((self.tokens, self.c_in),)

    def draft(self) -> Draft:
        """To write the expansion with."""
        return Draft(self.in_shapes[0])


def _by_name(op: type[Op], names: tuple[str, ...], shape: Shape, what: str) -> dict[str, Any]:
    if len(shape) != len(names):
        raise SpaceError(f"{op.kind} takes {what}, but {'×'.join(map(str, shape))} goes in")
    return dict(zip(names, shape, strict=True))
