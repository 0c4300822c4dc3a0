"""Finds what ships beside the code: ``latency_tables/`` and ``export/``, in a wheel or in a checkout."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import InputError

_PACKAGE = Path(__file__).parent


def shipped(*parts: str) -> Path:
    """The path of a shipped file or folder, such as ``shipped("export", "targets")``.

    Raises:
        InputError: it is neither in the installed package nor in a checkout around it.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"{'/'.join(parts)} isn't shipped with this installation of hwnas; reinstall it")
