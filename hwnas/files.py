"""Files: atomic writes, and plain files, YAML and JSON read with errors that name file and field.

Nothing here knows what the files mean. A reader passes the error class of its own subject, so that a wrong
table is a ``TableError`` and a wrong space a ``SpaceError``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from hwnas.errors import InputError, OutputError, nearest, shown
from hwnas.parse import parse_json, parse_yaml

_Model = TypeVar("_Model", bound=BaseModel)
MOST_BYTES = 1 << 26
"""Of a text: far more than any table or result has."""

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


def plain_file(path: Path, error: type[InputError]) -> Path:
    """``path``, where a file lies: reading a named pipe would wait for ever, a device never end.

    Raises:
        error: it can't be read, or is a folder, a pipe, a device or a socket.
    """
    try:
        str(path).encode()
        kind = stat.S_IFMT(path.stat().st_mode)
    except UnicodeEncodeError:
        raise error(f"can't read {str(path)!r}: its name isn't UTF-8, so no file could say what was read") from None
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL
        raise error(f"can't read {path}: {reason(problem)}") from None
    if kind != stat.S_IFREG:
        raise error(f"can't read {path}: it is {_KINDS.get(kind, 'a device')}, not a file; give a file")
    return path


def read_bytes(path: Path, error: type[InputError]) -> bytes:
    """What a file holds.

    Raises:
        error: it can't be read, or isn't a plain file.
    """
    try:
        return plain_file(path, error).read_bytes()
    except OSError as problem:
        raise error(f"can't read {path}: {reason(problem)}") from None


def read_text(path: Path, error: type[InputError]) -> str:
    """What a text file holds.

    Raises:
        error: it can't be read, isn't a plain file, is too large, or isn't UTF-8.
    """
    if plain_file(path, error).stat().st_size > MOST_BYTES:
        raise error(f"{path} has more than {MOST_BYTES >> 20} MB; that is no such file")
    try:
        return read_bytes(path, error).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path} isn't UTF-8 text: {problem}") from None


def read_yaml(path: Path, error: type[InputError]) -> Any:
    """What a YAML file holds; raises as :func:`read_text` and :func:`hwnas.parse.parse_yaml`."""
    return parse_yaml(read_text(path, error), path, error)


def read_json(path: Path, error: type[InputError]) -> Any:
    """What a JSON file holds; raises as :func:`read_text` and :func:`hwnas.parse.parse_json`."""
    return parse_json(read_text(path, error), path, error)


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
        unknown_keys = [other for other in others if other["type"] == "extra_forbidden"]
        beside = (other for other in unknown_keys if other["loc"][:-1] == first["loc"][:-1])
        first = next(beside, unknown_keys[0] if unknown_keys else first)
    more = f" (and {problem.error_count() - 1} more)" if problem.error_count() > 1 else ""
    *outer, key = map(str, first["loc"] or ("",))
    unknown = first["type"] == "extra_forbidden"
    field = " ".join(".".join(outer if unknown else [*outer, key]).split())  # empty where parts don't fit together
    wrong = str(first["ctx"]["error"]) if first["type"] == "value_error" else _plainly(first["msg"])
    told = first["type"] == "missing" or (first["type"] == "value_error" and isinstance(first["input"], dict))
    given = f", got {shown(first['input'])}" if first["loc"] and not told else ""
    if unknown:
        known, given = _fields(model), ""
        for part in outer:  # indices, and keys of mappings, lead to what is in there
            known = _fields(known[part]) if part in known else known
        near = nearest(key, known)
        wrong = f"unknown key {shown(key)}; " + (f"did you mean {near!r}?" if near else f"known: {', '.join(known)}")
    return f"{field}{': ' if field else ''}{wrong}{given}{more}"


def _plainly(text: str) -> str:
    """Pydantic's words without those about its insides."""
    return re.sub(r"(an object|(a valid|a) dictionary( or (an )?instance of \w+)?)$", "keys with values", text).replace(
        " after validation", ""
    )


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
        OutputError: the folder can't be made or written, the disk is full, or the text can't be UTF-8.
    """
    try:
        data = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as problem:
        odd = problem.object[max(0, problem.start - 40) : problem.end + 40]
        raise OutputError(f"can't write {path}: {odd!r} isn't UTF-8; rename what is called so") from None
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, ValueError) as problem:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, problem) from None


def _temporary(path: Path) -> Path:
    """A hidden name beside ``path``, no longer than a name may be."""
    name = os.fsencode(path.name)[:200].decode(errors="ignore")
    return path.with_name(f".{name}.{os.getpid()}.tmp")


def reason(problem: Exception) -> str:
    """What the system says, without the number and the name: those of a temporary file help nobody."""
    return getattr(problem, "strerror", None) or str(problem)


def no_folder(path: Path, otherwise: str) -> str:
    """That there is none, in words, and which one beside it may have been meant, or else what to do."""
    near = None
    with suppress(OSError, ValueError):
        near = nearest(path.name, [each.name for each in path.parent.iterdir() if each.is_dir()])
    return f"there is no folder {path}; {f'did you mean {path.with_name(near)}?' if near else otherwise}"


def unwritable(path: Path, problem: Exception) -> OutputError:
    return OutputError(f"can't write {path}: {reason(problem)}; check the folder and the free space")


def refuse_existing(path: Path, begun: str | None = None) -> None:
    """Check early that ``path`` is free and can be written, before hours of work go there.

    A folder that holds the file ``begun`` is of the same work, which can go on.

    Raises:
        OutputError: it exists, or can't be made.
    """
    try:
        str(path).encode()
        if os.path.lexists(path):
            if (kind := stat.S_IFMT(path.lstat().st_mode)) not in (stat.S_IFREG, stat.S_IFDIR):
                raise OutputError(
                    f"{path} exists already, and is {_KINDS.get(kind, 'a device')}; choose another output"
                )
            resume = "go on with --resume, or " if begun and (path / begun).exists() else ""
            raise OutputError(f"{path} exists already; {resume}remove it or choose another output")
        path.stat()  # what lexists has for absent: a name too long, a file among the folders
    except FileNotFoundError:
        pass
    except UnicodeEncodeError:
        raise OutputError(f"can't write {str(path)!r}: the name isn't UTF-8") from None
    except (OSError, ValueError) as problem:
        raise OutputError(f"can't write {path}: {reason(problem)}") from None
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
    temporary = _temporary(path)
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process that had the same number
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as problem:
        raise unwritable(path, problem) from None
    except OutputError as problem:  # of a file in it
        raise OutputError(str(problem).replace(str(temporary), str(path))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
