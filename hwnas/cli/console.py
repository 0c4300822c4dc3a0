"""What every verb takes and prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from hwnas.files import to_json

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
UnusedSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Every verb takes it; this one draws nothing.")]


def print_result(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """End of a verb: the JSON object if asked for, else the lines a person reads."""
    sys.stdout.write(to_json(result) if as_json else "".join(f"{line}\n" for line in lines))
