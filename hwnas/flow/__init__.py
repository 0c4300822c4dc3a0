"""The verbs as functions: typed, for notebooks and for the command line, which only reads options and prints."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

_MODULES = sorted(module.name for module in iter_modules(__path__))

if not TYPE_CHECKING:  # a type checker wants a module imported

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return _MODULES
