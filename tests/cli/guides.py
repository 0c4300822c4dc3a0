"""Runs the pages of docs/ as a reader would.

A fenced block whose info string is ``sh`` holds commands to run; ``sh fails``, such as must exit with 1; ``sh gpu``,
such as need a GPU or a device and are only parsed; ``yaml NAME``, a file to write.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperGroup

from hwnas.cli.main import app
from tests.cli.run import Shell

_DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    argument: str
    text: str

    def commands(self) -> Iterator[list[str]]:
        """Words of each command; a backslash at the end of a line continues it."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def blocks(page: str) -> list[Block]:
    """Those of ``docs/page``, in order."""
    found = re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", (_DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found]


def run(hwnas: Shell, words: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and errors of a command; verbs of hwnas in this process, which saves seconds each."""
    if words[0] == "hwnas":
        outcome = hwnas(*words[1:])
        return outcome.status, outcome.err
    words = [sys.executable if word == "python" else word for word in words]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stderr


def parse(words: list[str]) -> None:
    """Have the command line parse the words of a verb, ``hwnas`` first, and do nothing.

    Raises:
        Exception: no such verb or option, or one too few.
    """
    name, *rest = words
    command: Any = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        context = command.make_context(name, rest)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, rest)
