"""Files: atomic writes, and YAML and JSON read with errors that name file and field.

Nothing here knows what the files mean. A reader passes the error class of its own subject, so that a wrong
table is a ``TableError`` and a wrong space a ``SpaceError``.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hwnas.errors import InputError, OutputError

_Model = TypeVar("_Model", bound=BaseModel)
_BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is about 10× faster


class _UniqueKeyLoader(_BaseLoader):  # type: ignore[misc,valid-type]
    """A safe loader that refuses a mapping with the same key twice (YAML 1.2 §3.2.1.1)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                line = node.value[index][0].start_mark.line + 1
                raise yaml.constructor.ConstructorError(problem=f"key {key!r} stands twice, again in line {line}")
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def read_yaml(path: Path, error: type[InputError]) -> Any:
    """What a YAML file holds.

    Raises:
        error: the file can't be read, isn't UTF-8 YAML, or has a key twice.
    """
    return _read(path, lambda content: yaml.load(content.decode(), _UniqueKeyLoader), "usable YAML", error)  # noqa: S506


def read_json(path: Path, error: type[InputError]) -> Any:
    """What a JSON file holds.

    Raises:
        error: the file can't be read or isn't UTF-8 JSON.
    """
    return _read(path, json.loads, "JSON", error)


def _read(path: Path, parse: Callable[[bytes], Any], what: str, error: type[InputError]) -> Any:
    try:
        content = path.read_bytes()
        data = parse(content)
        if b"\\u" in content.lower():  # an escape may be half a character, which can be read and never written again
            json.dumps(data, ensure_ascii=False, default=str).encode()
        return data
    except OSError as problem:
        raise error(f"can't read {path}: {problem.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as problem:
        raise error(f"{path} isn't {what}: {' '.join(str(problem).split())}") from None


def validated(model: type[_Model], data: Any, where: Path | str, error: type[InputError]) -> _Model:
    """``data`` as ``model``.

    Raises:
        error: with ``where``, the first wrong field's path and what is wrong with it.
    """
    try:
        # Strict models are read as JSON: there a list may be a tuple, and yet 1 is neither True nor "1".
        if model.model_config.get("strict"):
            return model.model_validate_json(json.dumps(data, default=str))
        return model.model_validate(data)
    except ValidationError as problem:
        raise error(f"{where}: {first_problem(problem, model)}") from None
    except (ValueError, TypeError, RecursionError) as problem:  # what JSON can't say: a list that holds itself
        raise error(f"{where}: {problem}") from None


def first_problem(problem: ValidationError, model: type[BaseModel]) -> str:
    """``field: what is wrong with it``, in one line; of an unknown key what it may have been meant for."""
    first, *others = problem.errors()
    if first["type"] == "missing":  # a misspelt key is missing as well, and what stands in its place says more
        unknown_keys = (other for other in others if other["type"] == "extra_forbidden")
        first = next((other for other in unknown_keys if other["loc"][:-1] == first["loc"][:-1]), first)
    more = f" (and {problem.error_count() - 1} more)" if problem.error_count() > 1 else ""
    *outer, key = map(str, first["loc"] or ("",))
    unknown = first["type"] == "extra_forbidden"
    field = " ".join(".".join(outer if unknown else [*outer, key]).split())  # empty where parts don't fit together
    reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    given = f", got {first['input']!r:.80}" if first["loc"] and first["type"] != "missing" else ""
    if unknown:
        known, given = _fields(model), ""
        for part in outer:  # indices, and keys of mappings, lead to what is in there
            known = _fields(known[part]) if part in known else known
        near = nearest(key, known)
        reason = f"unknown key {key!r:.80}; " + (f"did you mean {near!r}?" if near else f"known: {', '.join(known)}")
    return f"{field}{': ' if field else ''}{reason}{given}{more}"


def nearest(key: str, known: Collection[str]) -> str | None:
    """The known key that an unknown one may have been meant for."""
    return next(iter(difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)), None)


def _fields(annotation: Any) -> dict[str, Any]:
    """Key -> type, of all models in a type."""
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        return _fields(fields["root"]) if "root" in fields else fields
    return {key: inner for part in parts for key, inner in _fields(part).items()}


def to_json(data: Any) -> str:
    """JSON as all files of hwnas have it: two spaces, no NaN, a final newline."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file or none of it: a temporary in the same folder (made if need be), fsync, ``os.replace``.

    Raises:
        OutputError: the folder can't be made or written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"can't write {path}: {problem.strerror}; check the folder and the free space") from None


def refuse_existing(path: Path) -> None:
    """Check early that ``path`` is free and its folder writable, before hours of work go there.

    Raises:
        OutputError: it exists, or can't be made.
    """
    if path.exists():
        raise OutputError(f"{path} exists already; remove it or choose another output")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"can't write {path}: {folder} isn't a writable folder")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all: filled under a temporary name, renamed at the end.

    Raises:
        OutputError: ``path`` exists already or can't be written.
    """
    refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process that had the same number
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as problem:
        raise OutputError(f"can't write {path}: {problem.strerror}; check the folder and the free space") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
