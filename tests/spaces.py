"""Spaces as tests want them."""

from __future__ import annotations

from hwnas.space.chain import ChainSpace


def keeping(space: ChainSpace, stabilizers: bool) -> ChainSpace:
    """The space of networks that keep the stabilizers that can't be folded, or of plain ones."""
    return space.inheriting() if stabilizers else space.plain()
