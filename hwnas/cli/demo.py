"""``hwnas demo``, the whole flow, and ``hwnas report``, a page of what it left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.progress import ProgressBars


def demo(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to make; hwnas-demo-N if absent.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Within a minute, with less of everything.")] = False,
    budget_ms: Annotated[float | None, typer.Option(help="Latency budget; chosen from the table when absent.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, train a stabilized supernet, search it under a latency budget, ship the winner."""
    from hwnas.evaluation.interval import plus_minus
    from hwnas.flow.demo import demo as run_demo

    with ProgressBars() as progress:
        made = run_demo(output, fast=fast, budget_ms=budget_ms, seed=seed, progress=progress)
    plain = made.plain()
    choices = plain.pop("front_choices")
    front = [{"choices": list(its), **values} for its, values in zip(choices, made.front, strict=True)]
    ends = "" if made.low_ms is None else f"({made.low_ms:.3f} to {made.high_ms:.3f}), "
    print_result(
        {"arch": str(made.arch), **plain, "front": front},
        as_json,
        f"winner     {made.arch}",
        f"accuracy   {plus_minus(made.accuracy, made.accuracy_images)} of the digits it has never seen",
        f"budget     {made.budget_ms:.3f} ms; by the table the winner takes {made.predicted_when_searched_ms:.3f} ms",
        f"latency    measured {made.measured_ms:.3f} ms; predicted {made.predicted_ms:.3f} ms "
        f"{ends}the machine's drift of {made.drift:.3f} × since the table included",
        f"artifact   {made.artifact}",
        f"report     {made.report}",
    )


def report(
    shown: Annotated[
        list[Path],
        typer.Argument(
            help="What a search, a training, an export or the demo made, and the bench.json of a bench, in any order."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    table: Annotated[
        list[str] | None,
        typer.Option(help="TABLE or TABLE:BUDGET_MS of another device to show the front on; give it again for more."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """One HTML file, readable offline: the front, the winner, what it gets right, its latency, what is shipped."""
    from hwnas.flow.report import report as write_report

    write_report(*shown, tables=table or (), output=output)
    print_result({"report": str(output)}, as_json, f"report: {output}")
