"""What every verb takes and prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from hwnas.errors import LARGEST
from hwnas.files import to_json

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST, help="Seed of everything random.")]
UnusedSeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=LARGEST, help="Every verb takes it; this one draws nothing.")
]
SpaceArgument = Annotated[str, typer.Argument(help="A name from `hwnas space list`, or a .yaml file.")]
ResolutionOption = Annotated[int | None, typer.Option("--resolution", help="Input size in pixels.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", help="Outputs of the classifier.")]
TablesOption = Annotated[
    list[str], typer.Option("--table", help="TABLE or TABLE:BUDGET_MS; give it again for another device.")
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Load engines that nothing vouches for: native code.")]


def print_result(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """End of a verb: the JSON object if asked for, else the lines a person reads."""
    sys.stdout.write(to_json(result) if as_json else "".join(f"{line}\n" for line in lines))
