"""``hwnas report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result


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
    from hwnas.cli.objectives import parse_table
    from hwnas.flow.report import report as write_report

    write_report(run, tables=[parse_table(text) for text in table or []], output=output)
    print_result({"report": str(output)}, as_json, f"report: {output}")
