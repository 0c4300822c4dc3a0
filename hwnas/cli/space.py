"""``hwnas space list`` and ``hwnas space show``; ``hwnas space feasible`` has a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result
from hwnas.cli.feasible import feasible

app = typer.Typer(help="The search spaces.", no_args_is_help=True)
app.command("feasible")(feasible)


@app.command("list")
def list_spaces(seed: UnusedSeedOption = 0, as_json: JsonOption = False) -> None:
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
    space: Annotated[str, typer.Argument(help="A name from `hwnas space list`, or a .yaml file.")],
    resolution: Annotated[int | None, typer.Option(help="Input size in pixels.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the classifier.")] = None,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """One space: its layers, the choices of each, and how many archs there are."""
    from hwnas.space.registry import get_space

    found = get_space(space, resolution, classes)
    result = {
        "name": found.name,
        "resolution": found.resolution,
        "classes": found.classes,
        "layers": [[op.to_dict() for op in choices] for choices in found.layers],
        "stem": found.stem.to_dict(),
        "head": found.head.to_dict(),
        "size": found.size,
        "distinct_ops": len(found.distinct_ops),
        "fingerprint": found.fingerprint,
    }
    lines = [f"{found.name}: {found.size:,} archs, {len(found.distinct_ops)} distinct ops", f"stem  {found.stem}"]
    for layer, choices in enumerate(found.layers):
        lines.append(f"layer {layer}")
        lines += [f"  {index:>2}  {op}" for index, op in enumerate(choices)]
    print_result(result, as_json, *lines, f"head  {found.head}")
