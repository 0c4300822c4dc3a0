"""``hwnas space …``: the search spaces, and what of them is within budgets."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import ClassesOption, JsonOption, ResolutionOption, SpaceArgument, print_result
from hwnas.errors import counted
from hwnas.progress import say

if TYPE_CHECKING:
    from hwnas.optimize.feasible import Extreme, FeasibleCount

app = typer.Typer(help="The search spaces.", no_args_is_help=True)


@app.command("list")
def list_spaces(as_json: JsonOption = False) -> None:
    """Every space that has a name; the path of a YAML file is one as well."""
    from hwnas.space.registry import SPACES, get_space

    spaces = [get_space(name) for name in SPACES.names()]
    result = {
        "spaces": [
            {"name": s.name, "layers": s.num_layers, "size": s.size, "resolution": s.resolution, "classes": s.classes}
            for s in spaces
        ]
    }
    lines = [
        f"{s.name:<14} {s.num_layers:>3} choice layers  {s.size:>11.3g} archs  {s.resolution} px  {s.classes} classes"
        for s in spaces
    ]
    print_result(result, as_json, *lines)


@app.command("show")
def show(
    space: SpaceArgument,
    resolution: ResolutionOption = None,
    classes: ClassesOption = None,
    as_json: JsonOption = False,
) -> None:
    """One space: its layers, the choices of each, and how many archs there are."""
    from hwnas.space.registry import get_space

    found = get_space(space, resolution, classes)
    ends = {end: getattr(found, end, None) for end in ("stem", "head")}  # a plug-in's space may be no chain of layers
    layers = getattr(found, "layers", [decision.labels for decision in found.decisions])
    result = {
        "name": found.name,
        "resolution": found.resolution,
        "classes": found.classes,
        "layers": [[choice if isinstance(choice, str) else choice.to_dict() for choice in row] for row in layers],
        **{end: op and op.to_dict() for end, op in ends.items()},
        "size": found.size,
        "distinct_ops": len(found.distinct_ops),
        "fingerprint": found.fingerprint,
    }
    lines = [f"{found.name}: {found.size:,} archs, {len(found.distinct_ops)} distinct ops"]
    stem, head = ([f"{end}  {op}"] if op else [] for end, op in ends.items())
    lines += stem
    for layer, choices in enumerate(layers):
        lines.append(f"layer {layer}")
        lines += [f"  {index:>2}  {op}" for index, op in enumerate(choices)]
    print_result(result, as_json, *lines, *head)


@app.command("feasible")
def feasible(
    space: SpaceArgument,
    table: Annotated[
        list[str] | None, typer.Option(help="TABLE or TABLE:BUDGET_MS; give it again for another device.")
    ] = None,
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
    as_json: JsonOption = False,
) -> None:
    """How many archs are within budgets, and which of them are the fastest, the slowest and the largest.

    Exact where possible, else with what it lies between. Without budgets it says the same of the whole space.
    """
    from hwnas.cli.objectives import parse_limits
    from hwnas.flow.feasible import feasible as look
    from hwnas.flow.feasible import space_of
    from hwnas.flow.open import open_budgeted
    from hwnas.space.registry import get_space

    tables = open_budgeted(table or [], lambda: get_space(space, resolution, classes))
    limits = parse_limits(limit or [])
    whole = space_of(space, tables, resolution, classes)
    result = look(whole.inheriting() if stabilizers else whole, tables, limits)
    found, count, ends = result.space, result.count, result.ends
    for name, lacking in result.interpolated.items():
        if lacking:
            say(f"{name} lacks {counted(lacking, 'op')} of {found.name} at {found.resolution} px: interpolated")
    first = next(iter(ends.values()))
    plain = {
        "space": found.name,
        "resolution": found.resolution,
        "classes": found.classes,
        "stabilizers": stabilizers,
        "budgets": {budget.objective_name: float(budget.at_most) for budget in result.budgets},
        "size": found.size,
        "count": count.count,
        "count_low": count.low,
        "count_high": count.high,
        "exact": count.exact,
        "confidence": count.confidence,
        "share": count.share,
        "acceptance": count.acceptance,
        "fastest_ms": first.least.value if tables else None,
        "slowest_ms": first.most.value if tables else None,
        "extremes": {
            name: {end: _as_dict(extreme) for end, extreme in vars(each).items()} for name, each in ends.items()
        },
        "interpolated_ops": result.interpolated,
    }
    asked = " and ".join(f"{budget.objective_name} at most {budget.at_most:.6g}" for budget in result.budgets)
    lines = [f"{_told(count, found.size)} of {found.name} at {found.resolution} px{asked and f' have {asked}'}"]
    for name, each in ends.items():
        whole_space = f"{each.least_of_space.value:,.6g} to {each.most_of_space.value:,.6g} in the whole space"
        lines.append(f"{name}: {whole_space}, and of these archs")
        lines += [_line("least", each.least), _line("most", each.most)]
    print_result(plain, as_json, *lines)


def _told(count: FeasibleCount, size: int) -> str:
    share = f"{counted(size, 'arch')} ({100 * count.share:.4g} %)"
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
