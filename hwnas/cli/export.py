"""``hwnas export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.records.artifact import ExportedFile


def export(
    model: Annotated[str, typer.Argument(help="A folder that `hwnas derive` made, or a released name.")],
    target: Annotated[list[str], typer.Option(help="Of export/targets/, or a .yaml file; may be given again.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The artifact folder to make.")],
    data: Annotated[
        str | None, typer.Option(help="Images to check and calibrate with, or `none`; the model's own when absent.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a network for production runtimes, and check each file against PyTorch."""
    from hwnas.flow.export import export as export_model

    with ProgressBars() as progress:
        artifact = export_model(model, target, output, data=data, seed=seed, progress=progress)
    files = artifact.manifest.files
    result = {
        "artifact": str(output),
        "files": [name for f in files for name in f.files],
        "parity": {f.target: f.parity.model_dump() for f in files},
        "precision": {f.target: f.precisions for f in files},
        "latency_ms": {f.target: f.latency.p50_ms if f.latency else None for f in files},
        "pointless": [f.target for f in files if f.pointless],
        "notes": {f.target: f.notes for f in files},
    }
    for name in result["pointless"]:
        say(f"POINTLESS here: {name} is slower on this machine than the fp32 it replaces")
    print_result(result, as_json, *(line for file in files for line in _lines(file)), f"artifact: {output}")


def _lines(file: ExportedFile) -> list[str]:
    return [_line(file), *(f"  {note}" for note in file.notes)]


def _line(file: ExportedFile) -> str:
    layers = ", ".join(f"{count} layers {precision}" for precision, count in file.precisions.items())
    line = (
        f"{file.file}: {file.bytes / 1e6:.2f} MB, {layers}; differs from PyTorch by {file.parity.max_relative:.1e}, "
        f"same class on {file.parity.top1_agreement:.1%} of {file.parity.images} {file.parity.inputs}"
    )
    if file.accuracy_before is not None and file.accuracy_after is not None:
        line += f"; accuracy {file.accuracy_before:.2%} before, {file.accuracy_after:.2%} after"
    if file.latency is None:
        return f"{line}; not run here: {file.lacks}"
    line += f"; {file.latency.p50_ms:.3f} ms here"
    if file.fp32_ms is not None and file.settings.precision != "fp32":
        line += f", fp32 {file.fp32_ms:.3f} ms" + (
            ": POINTLESS here, slower than what it replaces" if file.pointless else ""
        )
    return line
