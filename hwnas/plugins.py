"""Names that outsiders add: entry points of installed packages, looked up by group and name.

Groups: ``hwnas.spaces`` (a callable ``(resolution, classes) -> Space``), ``hwnas.runtimes`` (a callable from options, a
mapping of texts or None, to a :class:`hwnas.runtimes.base.Runtime`), ``hwnas.formats`` (a callable to a
:class:`hwnas.artifacts.formats.base.Format`), ``hwnas.strategies`` (see :mod:`hwnas.optimize.strategy`),
``hwnas.samplers`` (see :mod:`hwnas.training.sampling`) and ``hwnas.data`` (a callable ``resolution ->
hwnas.data.load.Parts``).
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def plugin_names(group: str) -> tuple[str, ...]:
    """Names that installed packages registered under ``group``, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load_plugin(group: str, name: str) -> Any | None:
    """The object registered as ``name`` under ``group``, or None when nobody registered it."""
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    return None
