"""Ops in files: as plain values, those included that only somebody else's table has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import PlainSerializer, PlainValidator

from hwnas.errors import SpaceError
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
