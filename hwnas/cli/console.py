"""What every verb takes and prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import codecs
import io
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from hwnas.errors import LARGEST, ConfigError, OutputError, StoppedError, printable

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text; an error is a line on standard error.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST, help="Seed of everything random.")]


def space_names(begun: str) -> list[str]:
    """What a shell may complete a space's name to."""
    from hwnas.space.registry import SPACES

    return [name for name in SPACES.names() if name.startswith(begun)]


SpaceArgument = Annotated[
    str, typer.Argument(help="A name from `hwnas space list`, or a .yaml file.", autocompletion=space_names)
]
ResolutionOption = Annotated[int | None, typer.Option("--resolution", help="Input size in pixels.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", help="Outputs of the classifier.")]
TablesOption = Annotated[
    list[str], typer.Option("--table", help="TABLE or TABLE:BUDGET_MS; give it again for another device.")
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", help="NAME=1x3x224x224 of an input of MODEL, the batch included; again for another input."),
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Load engines that nothing vouches for: native code.")]

_REPLACED = {
    "±": "+-",
    "×": "x",
    "–": "-",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "·": "*",
    "µ": "u",
    "τ": "tau",
    "ρ": "rho",
}
"""What hwnas itself prints beside ASCII, on terminals that lack it."""


def command(*words: object) -> str:
    """Words of ``hwnas`` as a shell takes them: a verb's last line says what comes next."""
    return shlex.join(["hwnas", *map(str, words)])


def parse_shapes(words: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """What ``--shape`` says.

    Raises:
        ConfigError: it isn't NAME=SIZExSIZE…, or names an input twice.
    """
    found: dict[str, tuple[int, ...]] = {}
    for word in words or ():
        name, _, sizes = word.rpartition("=")
        parts = sizes.replace("×", "x").split("x")
        if not name or not all(part.isdecimal() and len(part) < 10 and int(part) for part in parts):
            raise ConfigError(f"--shape {word!r} isn't NAME=SIZExSIZE…; write it as --shape images=1x3x224x224")
        if name in found:
            raise ConfigError(f"--shape names the input {name} twice; give one shape for each")
        found[name] = tuple(map(int, parts))
    return found


@contextmanager
def resumable(folder: Path, begun: str, words: Sequence[object]) -> Iterator[None]:
    """Whoever stops a verb that has ``--resume`` is told how it goes on, once the file ``begun`` is in the folder."""
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / begun).exists():
            raise
        again = command(*words, *(() if "--resume" in words else ("--resume",)))
        raise StoppedError(f"stopped; go on with --resume: {again}") from None


def print_result(result: dict[str, Any], as_json: bool, *lines: str, styled: bool = False) -> None:
    """End of a verb: the JSON object if asked for, else the lines a person reads.

    What files hold reaches no terminal raw, unless the lines are ``styled``, with colours of their own.
    """
    if as_json:
        told: Sequence[str] = [json.dumps(result, indent=2, allow_nan=False)]  # in ASCII: no terminal obeys or lacks it
    else:
        told = lines if styled else [printable(line) for text in lines for line in text.split("\n")]
    write("".join(f"{line}\n" for line in told))


def write(text: str) -> None:
    """Text to standard output, at once.

    Raises:
        OutputError: it can't be written. That nobody reads on is none: the work is done.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"can't write to standard output: {error.strerror}") from None


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_REPLACED.get(each, "?") for each in error.object[error.start : error.end]), error.end


codecs.register_error("hwnas", _replaced)


def open_streams() -> None:
    """Standard streams that take whatever letters are written.

    Left closed, the next file that is opened would get what is printed.

    Raises:
        OutputError: standard output is closed, so nobody would get what was asked for.
    """
    closed = sys.stdout is None
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  (for good)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="hwnas")
    if closed:
        raise OutputError("standard output is closed; send it to a file, or to /dev/null")


def silence(stream: TextIO) -> None:
    """What is still to be written leads nowhere: else it fails again when the process ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
