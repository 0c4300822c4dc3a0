"""``module:callable`` and ``file.py:callable``: what the user's own code has under that name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from hwnas.errors import InputError, first_line, nearest
from hwnas.files import plain_file


def names_code(text: str) -> bool:
    """Whether a text is ``module:callable``, and not an arch (``space:1,2,3``) or a table with its budget."""
    module, colon, names = text.rpartition(":")
    parts = (*names.split("."), *([] if module.endswith(".py") else module.split(".")))
    return bool(colon and module) and all(part.isidentifier() for part in parts)


@contextmanager
def own_code(path: str, doing: str, error: type[InputError]) -> Iterator[None]:
    """Around what runs the user's own code of ``module:callable``.

    It may import from the folder one is in, and from its own file's; what it prints goes where logs go.

    Raises:
        error: whatever it raised, in one line that begins with ``path`` and ``doing``.
    """
    before, module = sys.path[:], path.rpartition(":")[0]
    sys.path[:0] = [str(Path.cwd()), *([str(Path(module).resolve().parent)] if module.endswith(".py") else [])]
    try:
        with redirect_stdout(sys.stderr):
            yield
    except InputError:
        raise
    except (Exception, SystemExit) as problem:  # whatever their code raises
        raise error(f"{path}: {doing} raised {type(problem).__name__}: {first_line(problem)}") from None
    finally:
        sys.path[:] = before


def imported(path: str, error: type[InputError]) -> object:
    """What ``package.module:name`` or ``folder/file.py:name`` is.

    Raises:
        error: the module or the name in it isn't there, or importing it fails.
    """
    module, _, names = path.rpartition(":")
    with own_code(path, "importing it", error):
        try:
            found: object = _of_file(Path(module), error) if module.endswith(".py") else import_module(module)
        except ModuleNotFoundError as problem:
            if problem.name is None or not f"{module}.".startswith(f"{problem.name}."):
                raise  # of what it imports itself
            raise error(f"{path}: there is no module {module}, neither installed nor in this folder") from None
        for name in names.split("."):
            if not hasattr(found, name):
                near = nearest(name, dir(found))
                raise error(f"{path}: no {name} is in {module}{f'; did you mean {near}?' if near else ''}")
            found = getattr(found, name)
    return found


def _of_file(path: Path, error: type[InputError]) -> ModuleType:
    spec = spec_from_file_location(path.stem, plain_file(path, error))
    assert spec is not None
    assert spec.loader is not None
    module, before = module_from_spec(spec), sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        if before is not None:
            sys.modules[path.stem] = before
        raise
    return module
