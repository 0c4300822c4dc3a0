"""YAML and JSON out of texts that may be anybody's: no text stalls or crashes the reader, or holds what can't be used.

One parser of each for all of hwnas but what runs on devices. Where a text lies and what is raised for a bad one comes
from the caller.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from yaml.constructor import ConstructorError

from hwnas.errors import InputError, shown

_Parsed = TypeVar("_Parsed")
_BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is about 10× faster

_TAG = "tag:yaml.org,2002:"
_MOST_DIGITS = 300  # what a float can hold; longer ones take quadratic time, and Python prints no more than 4,300
_MOST_LEVELS = 100  # of nesting
_MOST_BY_ALIASES = 100_000, 10  # values that aliases may stand for: so many, or so many for each one written down


class _Loader(_BaseLoader):  # type: ignore[misc,valid-type]
    """A safe loader that refuses a key that stands twice (YAML 1.2 §3.2.1.1), and texts made to stall it."""

    _level = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:  # called before each node
        self._level += 1
        if self._level > _MOST_LEVELS:  # libyaml's own recursion would end the process
            raise ConstructorError(problem=f"it is nested deeper than {_MOST_LEVELS} levels")

    def ascend_resolver(self) -> None:
        self._level -= 1

    def get_single_data(self) -> Any:
        root = self.get_single_node()
        if root is None:
            return None
        sizes: dict[yaml.Node, int] = {}
        if self._size(root, sizes) > max(_MOST_BY_ALIASES[0], _MOST_BY_ALIASES[1] * len(sizes)):
            raise ConstructorError(problem="its aliases stand for more values than anybody needs")
        return self.construct_document(root)

    def _size(self, node: yaml.Node, sizes: dict[yaml.Node, int]) -> int:
        """How many values a node stands for, those behind aliases counted each time."""
        if node in sizes:
            if not sizes[node]:
                raise ConstructorError(problem="a value holds itself")
            return sizes[node]
        sizes[node] = 0  # until it is known
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            self._refuse_twice([key for key, _ in node.value])
            inner = [each for pair in node.value for each in pair]
        sizes[node] = 1 + sum(self._size(each, sizes) for each in inner)
        return sizes[node]

    def _refuse_twice(self, keys: list[yaml.Node]) -> None:
        seen = set()
        for key in keys:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                name = self.construct_object(key)
                if not isinstance(name, str | int | float | None):
                    wrong = f"the key {key.value:.80} is a {type(name).__name__}; write it in quotes"
                    raise ConstructorError(problem=wrong, problem_mark=key.start_mark)
                if name in seen:
                    line = key.start_mark.line + 1
                    raise ConstructorError(problem=f"key {shown(name)} stands twice, again in line {line}")
                seen.add(name)


def _short_number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    if len(node.value) > _MOST_DIGITS:
        raise ConstructorError(problem=f"a number of {len(node.value)} digits")
    return getattr(loader, f"construct_yaml_{node.tag.removeprefix(_TAG)}")(node)  # type: ignore[no-any-return]


for _number in ("int", "float"):
    _Loader.add_constructor(_TAG + _number, _short_number)


def parse_yaml(content: str | bytes, where: Path | str, error: type[InputError]) -> Any:
    """What a YAML text holds.

    Raises:
        error: it isn't UTF-8 YAML, has a key twice, nests too deep, or has a number that no float can hold; ``where``
            is named.
    """
    return _parsed(lambda text: yaml.load(text, _Loader), content, where, "usable YAML", error)  # noqa: S506


def parse_json(content: str | bytes, where: Path | str, error: type[InputError]) -> Any:
    """What a JSON text holds.

    Raises:
        error: as :func:`parse_yaml`.
    """
    return _parsed(partial(json.loads, parse_int=_whole, object_pairs_hook=_unique), content, where, "JSON", error)


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"key {shown(twice)} stands twice")
    return found


def _parsed(
    parse: Callable[[str], _Parsed], content: str | bytes, where: Path | str, what: str, error: type[InputError]
) -> _Parsed:
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        data = parse(text)
        if "\\u" in text.lower():  # an escape may be half a character, which can be read and never written again
            json.dumps(data, ensure_ascii=False, default=str).encode()
        return data
    except MemoryError:
        raise error(f"{where} needs more memory than there is") from None
    except (LookupError, AttributeError):  # PyYAML's: of "!!bool x" or "!!timestamp x"
        raise error(f"{where} isn't {what}: a value isn't what its tag (!!…) says") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, ArithmeticError) as problem:
        wrong = _told(problem) if content.strip() else "the file is empty; make it again"
        raise error(f"{where} isn't {what}: {' '.join(wrong.split())[:300]}") from None


def _told(problem: Exception) -> str:
    """What a parser says; of YAML the place once, and no name of its own for what it was given."""
    if isinstance(problem, yaml.MarkedYAMLError) and (mark := problem.problem_mark or problem.context_mark):
        wrong = " ".join(filter(None, [problem.problem, problem.context]))
        return f"line {mark.line + 1}, column {mark.column + 1}: {wrong}"
    return str(problem).replace('in "<unicode string>", ', "at ")
