"""``hwnas search``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from hwnas.cli.console import JsonOption, SeedOption, TablesOption, command, print_result, resumable
from hwnas.errors import counted
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.records.search import SearchRecord

_Many = list[str] | None


class SearchCommand(TyperCommand):
    """Its help names the strategies and costs there are; they are loaded when the verb is used, not before."""

    def get_params(self, ctx: Any) -> list[Any]:
        from hwnas.flow.feasible import COSTS
        from hwnas.optimize.strategies import STRATEGIES

        params = super().get_params(ctx)
        for param in params:
            text = getattr(param, "help", None)
            if text:
                param.help = text.format(strategies=", ".join(STRATEGIES.names()), costs=", ".join(COSTS))  # type: ignore[attr-defined]
        return params


def search(
    supernet: Annotated[Path, typer.Option(help="The run folder of `hwnas train`.")],
    table: TablesOption,
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
        str, typer.Option(help="Who evaluates: a number of processes, which share the processors, ray or ray:ADDRESS.")
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
    seconds: Annotated[float, typer.Option(min=1.0, max=1e9, help="Of measuring in a round, at most.")] = 30.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was stopped.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """The Pareto front of accuracy, latency and other costs, within budgets."""
    from hwnas.cli.objectives import parse_limits, parse_objectives, parse_weights
    from hwnas.flow.search import search as search_supernet

    with resumable(output, "settings.json", sys.argv[1:]), ProgressBars() as progress:
        found = search_supernet(
            supernet, parse_objectives(objective or ["madds"]), parse_limits(limit or []), strategy, evaluations, seed,
            tables=table, output=output, weights=parse_weights(weight or []),
            store=store, workers=workers, baseline=baseline, measuring_s=seconds if measure else None, resume=resume,
            progress=progress,
        )  # fmt: skip
    if not found.front:
        say("no arch was found within the budgets")
    if found.failed:
        latest = found.failed[-1].reason
        say(f"{len(found.failed)} of {found.evaluations} evaluations failed and are left out; the latest: {latest}")
    names = [each.name for each in found.objectives]
    points = found.measured.points if found.measured else ()
    measured = {(point.index, point.objective): point.measured_ms for point in points}
    front = []
    for index in found.front:
        choices, numbers = found.archs[index].tolist(), dict(zip(names, found.values[index].tolist(), strict=True))
        its = {name: measured[index, name] for name in names if (index, name) in measured}
        front.append({"choices": choices, **numbers, **({"measured": its} if found.measured else {})})
    result = {
        "front": front,
        "winner": list(found.winner.choices) if found.winner else None,
        "evaluations": found.evaluations,
        "validation_images": found.accuracy_images,
        "failed": [failed.plain() for failed in found.failed],
        "closing": _measured(found),
        "hypervolume": found.hypervolume,
        "reference": list(found.reference),
        "search": str(output),
    }
    summary = f"{counted(len(front), 'arch')} on the front of {found.evaluations} evaluated: {output}"
    print_result(
        result, as_json, *told(found), *_front_lines(found, measured), summary, *_next(found, supernet, output)
    )


def _front_lines(found: SearchRecord, measured: dict[tuple[int, str], float]) -> list[str]:
    """The front as a table, by its first cost, with what is measured (arch, objective); N is of ``front.json:N``."""
    from hwnas.evaluation.interval import plus_minus

    def cell(index: int, column: int) -> str:
        value, each = float(found.values[index, column]), found.objectives[column]
        its_ms = measured.get((index, each.name))
        if each.unit == "fraction":
            return plus_minus(value, found.accuracy_images)
        return f"{value:,.4g}" if its_ms is None else f"{value:,.4g} (measured {its_ms:,.4g})"

    cost = next((column for column, each in enumerate(found.objectives) if not each.maximize), 0)
    rows = [["", "", *(each.name for each in found.objectives), "choices"]]
    for number, index in sorted(enumerate(found.front), key=lambda each: found.values[each[1], cost]):
        star, choices = "*" * (index == found.winner_index), ",".join(map(str, found.archs[index].tolist()))
        rows.append([star, str(number), *(cell(index, column) for column in range(len(found.objectives))), choices])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([*map(str.rjust, row[:-1], widths), row[-1]]) for row in rows]
    return lines if found.front else []


def _next(found: SearchRecord, supernet: Path, output: Path) -> list[str]:
    """What to do with the winner, and with the rest."""
    if found.winner is None:
        return []
    return [
        f"next: {command('derive', output, '--supernet', supernet, '-o', 'runs/model')}",
        f"  (the winner, *; {output / 'front.json'}:N is another), {command('report', output, '-o', 'report.html')}",
    ]


def _measured(found: SearchRecord) -> dict[str, Any] | None:
    """What was measured of the front, with what is known of its first latency on top."""
    if found.measured is None:
        return None
    plain = found.measured.plain()
    first = plain["objectives"][0]
    return {
        **{key: first[key] for key in ("device", "drift", "table", "error_before", "error_after")},
        "front": list(found.front),
        "winner": found.winner_index,
        **plain,
    }


def told(found: SearchRecord) -> list[str]:
    """What was measured of the front, in lines to read."""
    if found.measured is None:
        return []
    measured, lines = found.measured, []
    for each in measured.objectives:
        points = measured.points_of(each.objective)
        if not points:
            continue
        over, budget_ms, moved_ms = sum(not p.within for p in points), points[0].budget_ms, each.budget_as_searched_ms
        error_after = each.error_after or 0.0
        lines += [
            f"{each.objective}: measured {counted(len(points), 'network')} in {counted(measured.rounds, 'round')} "
            f"on {each.device}",
            f"  the machine's drift since the table was made, {each.drift:.3f} ×, is taken out of measured times",
            f"  predictions were off by {each.error_before:.1%} on average, those of {each.table}, refitted, by "
            f"{error_after:.1%} for networks left out of the fit",
        ]
        if each.confidence_95 and each.error_90 and each.confidence_95 > each.error_90:
            lines.append(
                f"  measured medians are known to ±{each.confidence_95:.1%} only, less well than they are predicted "
                f"(±{each.error_90:.1%}): measure again without other work on the machine, or for more seconds"
            )
        if over and budget_ms is not None:
            lines.append(f"  {over} were over the budget of {budget_ms:.6g} ms and left the front")
        if moved_ms and budget_ms and moved_ms > budget_ms * (1 + error_after):  # else it is noise
            lines.append(
                f"  archs once predicted at up to {moved_ms:.6g} ms are within the budget by {each.table}: search "
                "again with it to find them"
            )
    lines += [f"can't be run: arch {each.index}: {each.reason}" for each in measured.failed[:5]]
    if measured.unmeasured:
        lines.append(f"{counted(len(measured.unmeasured), 'arch')} of the front not measured, as predicted")
    if not found.front:
        lines.append("no arch that was evaluated is within the budgets once measured: search again with the new table")
    return lines
