"""``hwnas search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result, say


def search(
    supernet: Annotated[Path, typer.Option(help="The run folder of `hwnas train`.")],
    table: Annotated[list[str], typer.Option(help="TABLE or TABLE:BUDGET_MS; give it again for another device.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The search folder to make.")],
    evaluations: Annotated[int, typer.Option(min=1, help="Different archs to evaluate.")] = 300,
    strategy: Annotated[str, typer.Option(help="nsga2 or random.")] = "nsga2",
    count: Annotated[str, typer.Option(help="The third objective: madds or params.")] = "madds",
    limit: Annotated[
        list[str] | None,
        typer.Option(help="NAME=AT_MOST of madds, params, model_mb or peak_activation_mb; give it again for another."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was stopped.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """The Pareto front of accuracy, latency and multiply-adds (or parameters), within latency budgets."""
    from hwnas.cli.searching import SearchSettings, parse_limits, search_supernet
    from hwnas.cli.tables import parse_table

    settings = SearchSettings(
        supernet=supernet,
        tables=tuple(parse_table(text) for text in table),
        evaluations=evaluations,
        strategy=strategy,
        count=count,
        seed=seed,
        limits=parse_limits(limit or []),
    )
    with Progress() as progress:
        found = search_supernet(settings, output, resume=resume, progress=progress)
    if not found["front"]:
        say("no arch was found within the budgets")
    names = [o["name"] for o in found["objectives"]]
    lines = []
    for index in found["front"]:
        numbers = dict(zip(names, found["values"][index], strict=True))
        shown = "  ".join(f"{name} {value:,.4g}" for name, value in numbers.items())
        star = "*" if index == found["winner"] else " "
        lines.append(f"{star} {shown}  {','.join(map(str, found['archs'][index]))}")
    result = {
        "front": [
            {"choices": found["archs"][i], **dict(zip(names, found["values"][i], strict=True))} for i in found["front"]
        ],
        "winner": found["archs"][found["winner"]] if found["winner"] is not None else None,
        "evaluations": len(found["archs"]),
        "hypervolume": found["hypervolume"],
        "reference": found["reference"],
        "search": str(output),
    }
    print_result(
        result,
        as_json,
        *lines,
        f"{len(found['front'])} archs on the front of {len(found['archs'])} evaluated: {output}",
    )
