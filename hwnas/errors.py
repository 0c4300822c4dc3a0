"""Every error hwnas raises on purpose.

An :class:`InputError`: the request can't be carried out as asked (exit status 2). A :class:`DeviceError` or a
:class:`CheckError`: something went wrong, or a check failed, on the way (exit status 1).

A message is one line: what is wrong, where, and what to do about it.
"""

import difflib
import re
from numbers import Integral
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def printable(text: str) -> str:
    """A text in one line that no terminal obeys: what isn't a letter or a sign is told as its escape."""
    spaced = "".join(" " if each.isspace() else each for each in text)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in spaced)


_LONG = re.compile(r"\S{300,}")


class HwnasError(Exception):
    """Base of all errors below; ``exit_status`` is what the command line exits with.

    Of one line, whatever the names and files hold that it quotes: nothing in it moves a terminal's cursor, and of what
    is longer than any name only the ends are told.
    """

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(_LONG.sub(lambda word: f"{word[0][:150]}…{word[0][-80:]}", printable(str(message))))


class InputError(HwnasError):
    """The request can't be carried out as asked."""

    exit_status = 2


class SpaceError(InputError):
    """A search space is unknown, or its YAML is wrong."""


class ArchError(InputError):
    """An arch doesn't belong to its space."""


class TableError(InputError):
    """A latency table is malformed."""


class MissingOpError(TableError):
    """An Op has no entry in a latency table."""


class KitError(InputError):
    """A profiling kit or its result is damaged, altered, or doesn't fit."""


class BudgetError(InputError):
    """A budget makes no sense, or no arch of the space was found to meet it."""


class ObjectiveError(InputError):
    """An objective returned something that isn't a finite number per arch."""


class DataError(InputError):
    """A data set can't be read, or doesn't fit the space."""


class ConfigError(InputError):
    """A configuration file is wrong."""


class CheckpointError(InputError):
    """Weights don't fit the network they are loaded into."""


class ModelError(InputError):
    """A model or artifact folder is missing a part, or was altered."""


class OutputError(InputError):
    """An output exists already, or can't be written."""


class RuntimeMissingError(InputError):
    """A runtime isn't installed, isn't known, or this machine lacks the hardware it needs.

    Attributes:
        not_imported: where a module can't be imported, that alone, without what to do about it where hwnas is.
    """

    not_imported: "str | None" = None


class DeviceError(HwnasError):
    """A device gave up half-way: its disk, memory, battery or connection. The same command goes on from there."""


class StoppedError(HwnasError):
    """Somebody stopped what goes on with ``--resume``."""

    exit_status = 130


class CheckError(HwnasError):
    """The work was done, and a check of its result failed."""


class CountError(CheckError):
    """Two counts of one network disagree."""


class ParityError(CheckError):
    """Two forms of one network disagree."""


class NoReferenceError(ParityError):
    """What outputs are to be held against says nothing itself: it isn't finite, or 0 for every input."""


class HwnasWarning(UserWarning):
    """What somebody should know and that stops nothing; the command line prints it as a line on standard error."""


class TrainingError(CheckError):
    """The loss stopped being a finite number, or another process of the training stopped."""


LARGEST = 2**63 - 1
"""What files, SQLite and seeds of PyTorch hold of an integer."""


def whole(name: str, value: int, least: int = 0, most: int = LARGEST, error: "type[InputError]" = InputError) -> int:
    """An integer that someone gave; an ``error`` where it isn't one, or is out of the range."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        raise error(f"{name} must be an integer from {least} to {most}, got {shown(value)}")
    return int(value)


def shown(value: object) -> str:
    """Of a value that anybody may have given, as far as a message can hold it."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # integers of thousands of digits; what holds itself a thousand times over
        return f"{type(value).__name__} that is too large to be shown"


def nearest(name: str, known: "Collection[str]") -> "str | None":
    """The known name that an unknown one may have been meant for."""
    return next(iter(difflib.get_close_matches(str(name)[:100], known, n=1, cutoff=0.5)), None)


def unknown(what: str, name: str, known: "Collection[str]", otherwise: str = "") -> str:
    """Of a name that nobody has: ``no runtime 'onnxrutime'; did you mean 'onnxruntime'? known: …``."""
    near = nearest(name, known)
    hint = f" did you mean {near!r}?" if near else ""
    return f"no {what} {shown(name)};{hint} known: {', '.join([*known, *filter(None, [otherwise])])}"


def first_line(error: BaseException) -> str:
    """Of an error's text, as far as a message can hold it; without the places in C++ that OpenVINO begins with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception from src/")]
    return next(iter([*told, *lines]), type(error).__name__)[:300]


def counted(count: int, noun: str) -> str:
    """So many of something, as messages and texts have it: ``1 entry``, ``2 entries``."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"
