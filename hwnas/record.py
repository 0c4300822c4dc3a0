"""`Record`: what lies in a file. One class writes it, reads it, and is what goes from module to module."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from hwnas.arguments import checked
from hwnas.brief import brief
from hwnas.errors import ConfigError, InputError, ModelError, shown
from hwnas.files import first_problem, read_json, read_yaml, to_json, validated, write_atomic

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
Some = Annotated[int, Field(ge=1, le=10**9)]
"""Of what is there and was counted: processors, images of a batch, runs, rounds, networks."""
Factor = Annotated[float, Field(gt=1e-6, lt=1e6)]
"""By which one speed of a machine differs from another."""


def _with_zone(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("a date and time with its zone is needed, as 2026-11-22T09:00:00+00:00")
    return text


Moment = Annotated[str, AfterValidator(_with_zone)]
"""ISO 8601, as it was written."""


def _stop_at_the_first_wrong_item(schema: Any) -> None:
    """In lists and tuples: all errors of a file of a million wrong items take gigabytes, and one is told."""
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "tuple"):
            schema["fail_fast"] = True
        for key, part in schema.items():
            if key not in ("metadata", "default", "serialization"):
                _stop_at_the_first_wrong_item(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _stop_at_the_first_wrong_item(part)


class Record(BaseModel):
    """Part of a file: frozen, unknown keys refused, numbers finite, and nothing taken for what it isn't ("3" for 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _stop_at_the_first_wrong_item(schema)
        return schema

    def __repr__(self) -> str:
        return brief(self, self.__repr_args__())

    def __dir__(self) -> list[str]:
        """Without Pydantic's own names, half of which warn that they are old: a notebook offers these."""
        return [name for name in super().__dir__() if name.startswith("_") or not hasattr(BaseModel, name)]

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and YAML have them."""
        return self.model_dump(mode="json", by_alias=True)


def _plain(of: type[BaseModel], name: str, given: Any) -> Any:
    """What a person may well give for it: NumPy's numbers, the path of what is named by a text."""
    if isinstance(given, np.generic):
        return given.item()
    field = of.model_fields.get(name)
    return str(given) if isinstance(given, Path) and field and field.annotation is str else given


if TYPE_CHECKING:  # to a type checker they are alike
    Settings = Record
else:

    class _OneLine(type(BaseModel)):
        """Of a class that people call themselves; records inside of others aren't made by a call."""

        def __call__(cls, *args: Any, **given: Any) -> Any:
            try:
                return super().__call__(*args, **{name: _plain(cls, name, each) for name, each in given.items()})
            except ValidationError as problem:
                raise ConfigError(f"{cls.__name__}: {first_problem(problem, cls)}") from None

    class Settings(Record, metaclass=_OneLine):
        """A record that people also write down in Python, where a wrong value is a ``ConfigError`` of one line."""


def difference(begun: Any, now: Any, key: str = "") -> str | None:
    """Of plain values the first that isn't what it was, such as ``'learner.sampling' (fair, now uniform)``."""
    if isinstance(begun, list) and isinstance(now, list):
        begun, now = dict(enumerate(begun)), dict(enumerate(now))
    if not (isinstance(begun, dict) and isinstance(now, dict)):
        return None if begun == now else f"{key!r} ({begun!s:.80}, now {now!s:.80})"
    keys = [*now, *(each for each in begun if each not in now)]
    inner = (difference(begun.get(k, "nothing"), now.get(k, "nothing"), f"{key}.{k}" if key else str(k)) for k in keys)
    return next((found for found in inner if found), None)


class FileRecord(Record):
    """A whole file, JSON or YAML, with the version of its schema in its first line.

    Attributes:
        SCHEMA: name and version, such as ``hwnas-search/2``.
        REMEDY: what to do about a file of another version, such as "search again".
        ERROR: what is raised for a file that isn't one.
    """

    SCHEMA: ClassVar[str]
    REMEDY: ClassVar[str]
    ERROR: ClassVar[type[InputError]] = ModelError

    def plain(self) -> dict[str, Any]:
        return {"schema": self.SCHEMA, **super().plain()}

    @classmethod
    def of_plain(cls, data: Any, where: Path | str) -> Self:
        """The record that :meth:`plain` described; ``where`` is for messages.

        Raises:
            InputError: of the class ``ERROR``: another schema, or a field missing, unknown or wrong; file and field are
                named.
        """
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != cls.SCHEMA:
            name = cls.SCHEMA.partition("/")[0]
            if isinstance(schema, str) and schema.partition("/")[0] == name:
                raise cls.ERROR(f"{where} has schema {schema:.80}, this hwnas reads {cls.SCHEMA}; {cls.REMEDY}")
            written = isinstance(data, dict) and schema is None and str(where).endswith((".yaml", ".yml"))
            has = f"none; if it is one, begin it with schema: {cls.SCHEMA}" if written else shown(schema)
            raise cls.ERROR(f"{where} isn't a file of hwnas with schema {cls.SCHEMA}, it has {has}")
        return validated(cls, {key: value for key, value in data.items() if key != "schema"}, where, cls.ERROR)

    @classmethod
    @checked
    def read(cls, path: Path | str) -> Self:
        """Read a file, YAML by its ending or else JSON.

        Raises:
            InputError: as :meth:`of_plain`, or it can't be read.
        """
        path = Path(path)
        inside = path / f"{cls.SCHEMA.partition('/')[0].removeprefix('hwnas-')}.json"
        if inside.is_file():
            raise cls.ERROR(f"{path} is a folder; read {inside}")
        read = read_yaml if path.suffix in (".yaml", ".yml") else read_json
        return cls.of_plain(read(path, cls.ERROR), path)

    def write(self, path: Path) -> None:
        """Write the file as JSON, whole or not at all.

        Raises:
            OutputError: it can't be written.
        """
        write_atomic(path, to_json(self.plain()))
