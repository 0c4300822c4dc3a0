"""`checked`: a verb's arguments held against its annotations, so that a wrong one is a line that names it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from hwnas.errors import InputError, shown

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")


def checked(verb: Callable[_Given, _Returned]) -> Callable[_Given, _Returned]:
    """``verb``, which raises an InputError where an argument isn't of the kind that its annotation says.

    ``Annotated[kind, text]`` adds a text to that message, as who takes other kinds.
    """
    signature, hints = inspect.signature(verb), functools.cache(lambda: get_type_hints(verb, include_extras=True))

    @functools.wraps(verb)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return verb(*args, **kwargs)  # which says itself what is missing or unknown
        for name, value in given.items():
            several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
            for each in value if several else [value]:
                hint = hints().get(name, Any)
                hint, otherwise = get_args(hint) if get_origin(hint) is Annotated else (hint, None)
                if not _fits(each, hint):
                    told = f"; {otherwise}" if otherwise else ""
                    raise InputError(f"{name} must be {_told(hint)}, got {shown(each)}{told}")
        return verb(*args, **kwargs)

    return call


def _fits(value: Any, hint: Any) -> bool:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is Literal:
        return isinstance(value, str) and value in parts
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is Sequence:
        listed = isinstance(value, Iterable) and isinstance(value, Sized) and not isinstance(value, str | bytes)
        return listed and not isinstance(value, Mapping) and all(_fits(each, parts[0]) for each in value)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if kind is Callable:
        return callable(value)
    plain = isinstance(kind, type) and kind is not Any and not getattr(kind, "_is_protocol", False)
    return not plain or isinstance(value, kind)


def _told(hint: Any) -> str:
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        plain = [part for part in parts if get_origin(part) not in (Sequence, tuple)]
        words = list(dict.fromkeys(map(_told, plain)))
        for part in parts:
            if get_origin(part) is Sequence:
                same = set(get_args(get_args(part)[0]) or get_args(part)) & set(plain)
                words.append("a list of these" if same else _told(part))
        *first, last = dict.fromkeys(words)
        return f"{', '.join(first)} or {last}" if first else last
    if kind is Literal:
        return " or ".join(map(repr, parts))
    if kind is Sequence:
        return "a list" if parts[0] is Any else f"a list, each of it {_told(parts[0])}"
    named = {int: "an integer", float: "a number", NoneType: "None", bool: "True or False", str: "a str"}
    others = {Callable: "a function", Mapping: "a dict"}
    name = getattr(kind, "__name__", str(kind))
    return named.get(kind) or others.get(kind) or f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
