"""``hwnas space feasible``."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result
from hwnas.progress import say

if TYPE_CHECKING:
    from hwnas.optimize import Extreme, FeasibleCount


def feasible(
    space: Annotated[str, typer.Argument(help="A name from `hwnas space list`, or a .yaml file.")],
    table: Annotated[list[str], typer.Option(help="TABLE or TABLE:BUDGET_MS; give it again for another device.")],
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=AT_MOST of madds, params, model_mb, peak_activation_mb or latency_p90_ms; again for another."
        ),
    ] = None,
    stabilizers: Annotated[
        bool, typer.Option("--stabilizers", help="Count the stabilizers that a network with inherited weights keeps.")
    ] = False,
    resolution: Annotated[int | None, typer.Option(help="Of the input in pixels; the table's, unless given.")] = None,
    classes: Annotated[int | None, typer.Option(help="Of the classifier; the table's, unless given.")] = None,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """How many archs are within budgets, and which of them are the fastest, the slowest and the largest.

    Exact where possible, else with what it lies between. Without budgets it says the same of the whole space.
    """
    from hwnas.cli.objectives import free_objectives, parse_limits
    from hwnas.cli.tables import parse_table
    from hwnas.optimize import FeasibleRegion, Problem
    from hwnas.prediction.latency import LatencyPredictor
    from hwnas.space.registry import get_space

    options, limits = [parse_table(text) for text in table], parse_limits(limit or [])
    made_for = options[0].table.space
    if made_for is not None and made_for.source == space:
        resolution, classes = resolution or made_for.resolution, classes or made_for.classes
    found = get_space(space, resolution, classes)
    found = found.inheriting() if stabilizers else found
    objectives, budgets, _ = free_objectives(options, ("madds", "params"), limits, found)
    interpolated = {}
    for option in options:
        lacking = len(LatencyPredictor(option.table, found).interpolated)
        interpolated[str(option.path)] = lacking
        if lacking:
            say(f"{option.path} lacks {lacking} ops of {found.name} at {found.resolution} px; they are interpolated")
    within, everything = (
        FeasibleRegion(Problem(found, tuple(objectives), those)) for those in (tuple(budgets), ())
    )  # fmt: skip
    count = within.count()
    ends = {o.name: (within.extremes(o), everything.extremes(o)) for o in objectives}
    (fastest, slowest), _ = ends[objectives[0].name]
    result = {
        "space": found.name,
        "resolution": found.resolution,
        "classes": found.classes,
        "stabilizers": stabilizers,
        "budgets": {budget.objective_name: float(budget.at_most) for budget in budgets},
        "size": found.size,
        "count": count.count,
        "count_low": count.low,
        "count_high": count.high,
        "exact": count.exact,
        "confidence": count.confidence,
        "share": count.share,
        "acceptance": count.acceptance,
        "fastest_ms": fastest.value,
        "slowest_ms": slowest.value,
        "extremes": {
            name: {
                "least": _as_dict(least),
                "most": _as_dict(most),
                "least_of_space": _as_dict(lowest),
                "most_of_space": _as_dict(highest),
            }
            for name, ((least, most), (lowest, highest)) in ends.items()
        },
        "interpolated_ops": interpolated,
    }
    asked = " and ".join(f"{budget.objective_name} at most {budget.at_most:.6g}" for budget in budgets)
    lines = [f"{_told(count, found.size)} of {found.name} at {found.resolution} px{asked and f' have {asked}'}"]
    for name, ((least, most), (lowest, highest)) in ends.items():
        lines.append(f"{name}: {lowest.value:,.6g} to {highest.value:,.6g} in the whole space, and of these archs")
        lines += [_line("least", least), _line("most", most)]
    print_result(result, as_json, *lines)


def _told(count: FeasibleCount, size: int) -> str:
    share = f"{size:,} archs ({100 * count.share:.4g} %)"
    if count.exact:
        return f"{count.count:,} of {share}"
    sure = "for certain" if count.confidence == 1 else f"with {100 * count.confidence:g} % confidence"
    return f"about {count.count:.5g}, {sure} {count.low:.5g} to {count.high:.5g}, of {share}"


def _line(word: str, extreme: Extreme) -> str:
    beyond = f", none beyond {extreme.bound:,.6g}" if isfinite(extreme.bound) else ", the best of some"
    return f"  {word:<5} {extreme.value:>15,.6g}  {','.join(map(str, extreme.arch))}{'' if extreme.exact else beyond}"


def _as_dict(extreme: Extreme) -> dict[str, Any]:
    return {
        "value": extreme.value,
        "choices": extreme.arch.tolist(),
        "exact": extreme.exact,
        "bound": extreme.bound if isfinite(extreme.bound) else None,
    }
