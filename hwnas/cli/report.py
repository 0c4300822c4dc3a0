"""``hwnas report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result
from hwnas.files import refuse_existing, write_atomic


def report(
    run: Annotated[Path, typer.Argument(help="A folder that `hwnas demo` or `hwnas search` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    table: Annotated[
        list[str] | None,
        typer.Option(help="TABLE or TABLE:BUDGET_MS of another device to show the front on; give it again for more."),
    ] = None,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """One HTML file, readable offline: the front, the winner, its latency, and how everything was made."""
    from hwnas.cli.gather import gather
    from hwnas.cli.tables import parse_table
    from hwnas.reporting.html import render

    refuse_existing(output)
    write_atomic(output, render(gather(run, [parse_table(text) for text in table or []])))
    print_result({"report": str(output)}, as_json, f"report: {output}")
