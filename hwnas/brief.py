"""`Brief`: what a notebook shows of an object in a few lines, however much the object holds."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import fields

import numpy as np

_WHOLE, _PART = 600, 70
"""Characters that an object may take as it is, and those that each field is cut to where it takes more."""


class Brief:
    """A dataclass that declares ``repr=False``: long fields are cut, and the size of what was cut is said."""

    def __repr__(self) -> str:
        own = fields(self)  # type: ignore[arg-type]
        return brief(self, [(each.name, getattr(self, each.name)) for each in own if each.repr])


def brief(of: object, told: Iterable[tuple[str | None, object]]) -> str:
    """``Class(field=value, …)`` of these fields."""
    with np.printoptions(threshold=20, edgeitems=3):
        texts = [(name, value, " ".join(repr(value).split())) for name, value in told]
    whole = sum(len(text) for _, _, text in texts) <= _WHOLE
    parts = [f"{name}={text if whole else _cut(text, value)}" for name, value, text in texts]
    return f"{type(of).__name__}({', '.join(parts)})"


def _cut(text: str, value: object) -> str:
    if len(text) <= _PART:
        return text
    return f"{text[:_PART]}…{f' ({len(value):,} in all)' if isinstance(value, Sized) else ''}"
