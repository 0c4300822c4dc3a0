"""``hwnas export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result


def export(
    model: Annotated[str, typer.Argument(help="A folder that `hwnas derive` made, or a released name.")],
    target: Annotated[list[str], typer.Option(help="Of export/targets/, or a .yaml file; may be given again.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The artifact folder to make.")],
    data: Annotated[str | None, typer.Option(help="Images for the parity check; the model's own when absent.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a network for production runtimes, and check each file against PyTorch."""
    from hwnas.artifact.export import export as export_network
    from hwnas.cli.models import open_model, parity_images

    network, info = open_model(model, seed)
    images = parity_images(network, info, data)
    with Progress() as progress:
        artifact = export_network(network, target, output, info=info, images=images, progress=progress)
    files = artifact.manifest.files
    result = {
        "artifact": str(output),
        "files": [f.file for f in files],
        "parity": {f.target: f.parity.model_dump() for f in files},
        "precision": {f.target: f.precision for f in files},
        "latency_ms": {f.target: f.latency.p50_ms for f in files},
    }
    lines = [
        f"{f.file}: {f.bytes / 1e6:.2f} MB, {f.precision}, opset {f.opset}; differs from PyTorch by "
        f"{f.parity.max_relative:.1e}, same class on {f.parity.top1_agreement:.1%} of {f.parity.images} "
        f"{f.parity.inputs}; {f.latency.p50_ms:.3f} ms here"
        for f in files
    ]
    print_result(result, as_json, *lines, f"artifact: {output}")
