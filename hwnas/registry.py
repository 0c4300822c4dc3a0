"""`Registry`: what can be asked for by a name. Installed packages add names of their own, as entry points.

Groups: ``hwnas.spaces`` (:mod:`hwnas.space.registry`), ``hwnas.runtimes`` (:mod:`hwnas.runtimes.registry`),
``hwnas.formats`` (:mod:`hwnas.artifacts.formats.base`), ``hwnas.strategies`` (:mod:`hwnas.optimize.strategies`),
``hwnas.learners`` (:mod:`hwnas.training.learners`), ``hwnas.tasks`` (:mod:`hwnas.training.tasks`),
``hwnas.samplers`` (:mod:`hwnas.training.sampling`) and ``hwnas.data`` (:mod:`hwnas.data.load`); each says what it
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from hwnas.errors import InputError, unknown

T = TypeVar("T")


@cache
def import_all(group: str) -> dict[str, str]:
    """Imports what installed packages add to a group, once; which of it can't be imported, and why."""
    failed = {}
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # of whatever a package does when it is imported
            failed[point.name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return failed


class Registry(Generic[T]):
    """Names of one group and what they stand for.

    Nothing is imported before it is asked for.

    Args:
        group: of entry points.
        what: one of them is, for messages.
        built_in: name -> what it stands for, or ``module:name`` of it.
        error: raised for a name that nobody has.
        otherwise: what else could be given, for that message; such as "or the path of a .yaml file".
    """

    def __init__(
        self, group: str, what: str, built_in: Mapping[str, T | str], error: type[InputError], otherwise: str = ""
    ) -> None:
        self.group = group
        self._what, self._built_in, self._error, self._otherwise = what, dict(built_in), error, otherwise

    def names(self) -> tuple[str, ...]:
        """Those of hwnas in their order, then those of installed packages, sorted."""
        others = {point.name for point in entry_points(group=self.group)} - self._built_in.keys()
        return (*self._built_in, *sorted(others))

    def check(self, name: str, where: str) -> None:
        """Raises:
        InputError: nobody has the name; ``where`` it stands comes first.
        """
        if name not in self.names():
            raise self._error(where + unknown(self._what, name, self.names(), self._otherwise))

    def get(self, name: str) -> T:
        """What a name stands for.

        Raises:
            InputError: nobody has the name, or its package can't be imported; of the class that the registry was given.
        """
        if name in self._built_in:
            found = self._built_in[name]
            return EntryPoint(name, found, self.group).load() if isinstance(found, str) else found
        for point in entry_points(group=self.group):
            if point.name == name:
                try:
                    return point.load()  # type: ignore[no-any-return]
                except (ImportError, AttributeError) as error:
                    raise self._error(f"{self._what} {name!r}: can't import {point.value}: {error}") from error
        raise self._error(unknown(self._what, name, self.names(), self._otherwise))
