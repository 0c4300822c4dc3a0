"""Ops in files, as plain values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

import hwnas.ops  # noqa: F401  (so that all kinds of Ops are known)
from hwnas.errors import SpaceError
from hwnas.graph.graph import Op


def _of_plain(data: Any) -> Op:
    if isinstance(data, Op):
        return data
    if not isinstance(data, dict):
        raise ValueError("an op is {kind: …, c_in: …, …}")
    try:
        return Op.from_dict(data)
    except SpaceError as error:
        raise ValueError(str(error)) from None


def _plain(op: Op) -> dict[str, Any]:
    return op.to_dict()


OpField = Annotated[Op, PlainValidator(_of_plain), PlainSerializer(_plain)]
"""An `Op` as a field of a record."""
