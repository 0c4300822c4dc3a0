"""Protocol buffers' text format, as far as a Triton model configuration needs it.

hwnas has no need of Triton's own schema to write one; the tests parse what is written against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Symbol(str):
    """The name of an enum's value; other strings are quoted."""


Value = str | int | Mapping[str, "Value"] | Sequence["Value"]
"""A scalar, a message {field: value}, or a repeated field; a map is a repeated message of ``key`` and ``value``."""


def to_pbtxt(message: Mapping[str, Value]) -> str:
    """A message in text format, two spaces a level."""
    return "".join(f"{line}\n" for field, value in message.items() for line in _field(field, value))


def _field(name: str, value: Value) -> list[str]:
    if isinstance(value, Mapping):
        inner = [f"  {line}" for field, part in value.items() for line in _field(field, part)]
        return [f"{name} {{", *inner, "}"]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(part, Mapping) for part in value):
            return [line for part in value for line in _field(name, part)]
        return [f"{name}: [{', '.join(map(_scalar, value))}]"]
    return [f"{name}: {_scalar(value)}"]


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Symbol):
        return f'"{"".join(map(_escaped, value))}"'
    return str(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else "".join(f"\\{byte:03o}" for byte in character.encode())
