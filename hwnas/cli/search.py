"""``hwnas search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.progress import ProgressBars, say

_Many = list[str] | None


class SearchCommand(TyperCommand):
    """Its help names the strategies and costs there are; they are loaded when the verb is used, not before."""

    def get_params(self, ctx: Any) -> list[Any]:
        from hwnas.cli.objectives import COSTS
        from hwnas.optimize.strategies import STRATEGIES

        params = super().get_params(ctx)
        for param in params:
            text = getattr(param, "help", None)
            if text:
                param.help = text.format(strategies=", ".join(STRATEGIES.names()), costs=", ".join(COSTS))  # type: ignore[attr-defined]
        return params


def search(
    supernet: Annotated[Path, typer.Option(help="The run folder of `hwnas train`.")],
    table: Annotated[list[str], typer.Option(help="TABLE or TABLE:BUDGET_MS; give it again for another device.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The search folder to make.")],
    evaluations: Annotated[int, typer.Option(min=1, help="Different archs to evaluate.")] = 300,
    strategy: Annotated[str, typer.Option(help="One of {strategies}.")] = "nsga2",
    objective: Annotated[
        _Many,
        typer.Option(help="Beside accuracy and latency: {costs} (again for another), or none. [default: madds]"),
    ] = None,
    limit: Annotated[_Many, typer.Option(help="NAME=AT_MOST of {costs}; give it again for another.")] = None,
    weight: Annotated[
        _Many,
        typer.Option(
            help="NAME=WEIGHT of an objective, per its unit, for strategies that want a single number; "
            "accuracy (a fraction) has 1, everything else 0. Give it again for another."
        ),
    ] = None,
    workers: Annotated[
        str, typer.Option(help="Who evaluates: a number of processes of one thread each, ray or ray:ADDRESS.")
    ] = "1",
    store: Annotated[
        Path | None,
        typer.Option(help="File that all searches of the supernet share; evaluations.sqlite in its folder if absent."),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also evaluate as many random archs, to compare with.")
    ] = False,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Then measure the front here, refit, replace what is over budget."),
    ] = False,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of measuring in a round, at most.")] = 30.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was stopped.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """The Pareto front of accuracy, latency and other costs, within budgets."""
    from hwnas.cli.closing import told
    from hwnas.cli.objectives import parse_limits, parse_objectives, parse_weights
    from hwnas.cli.searching import SearchSettings, search_supernet
    from hwnas.cli.tables import parse_table

    settings = SearchSettings(
        supernet=supernet,
        tables=tuple(parse_table(text) for text in table),
        evaluations=evaluations,
        strategy=strategy,
        objectives=parse_objectives(objective or ["madds"]),
        limits=parse_limits(limit or []),
        weights=parse_weights(weight or []),
        store=store,
        workers=workers,
        baseline=baseline,
        measuring_s=seconds if measure else None,
        seed=seed,
    )
    with ProgressBars() as progress:
        found = search_supernet(settings, output, resume=resume, progress=progress)
    if not found["front"]:
        say("no arch was found within the budgets")
    evaluated = len(found["archs"]) + len(found["failed"])
    if found["failed"]:
        latest = found["failed"][-1]["reason"]
        say(f"{len(found['failed'])} of {evaluated} evaluations failed and are left out; the latest: {latest}")
    names = [o["name"] for o in found["objectives"]]
    closing = found["closing"]
    measured = {(p["index"], p["objective"]): p["measured_ms"] for p in closing["points"]} if closing else {}
    front, lines = [], told(closing) if closing else []
    for point, index in enumerate(found["front"]):
        numbers = dict(zip(names, found["values"][index], strict=True))
        its = {name: measured[index, name] for name in names if (index, name) in measured}
        front.append({"choices": found["archs"][index], **numbers, **({"measured": its} if closing else {})})
        shown = "  ".join(
            f"{name} {value:,.4g}{f' (measured {its[name]:,.4g})' if name in its else ''}"
            for name, value in numbers.items()
        )
        star = "*" if index == found["winner"] else " "
        lines.append(f"{star} {point:>2}  {shown}  {','.join(map(str, found['archs'][index]))}")
    result = {
        "front": front,
        "winner": found["archs"][found["winner"]] if found["winner"] is not None else None,
        "evaluations": evaluated,
        "failed": found["failed"],
        "closing": found["closing"],
        "hypervolume": found["hypervolume"],
        "reference": found["reference"],
        "search": str(output),
    }
    print_result(
        result,
        as_json,
        *lines,
        f"{len(found['front'])} archs on the front of {evaluated} evaluated: {output}",
    )
