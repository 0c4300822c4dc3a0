"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result
from hwnas.files import refuse_existing


def profile(
    space: Annotated[str, typer.Option(help="Name of a space, or its .yaml file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write (YAML).")],
    runtime: Annotated[str, typer.Option(help="What runs the network.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(help="Of one inference.")] = 1,
    precision: Annotated[str, typer.Option(help="Of the arithmetic.")] = "fp32",
    resolution: Annotated[int | None, typer.Option(help="Input size in pixels.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the classifier.")] = None,
    networks: Annotated[int, typer.Option(min=3, help="Whole networks to measure for the calibration.")] = 20,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure every op of a space on this machine. Give it the machine alone: other work is measured too."""
    from hwnas.predict.calibrate import calibrate
    from hwnas.profile.sweep import profile_space
    from hwnas.runtimes.base import get_runtime
    from hwnas.space.yaml import get_space

    refuse_existing(output)
    found = get_space(space, resolution, classes)
    with Progress() as progress:
        table = profile_space(
            found, get_runtime(runtime), threads=threads, precision=precision, networks=networks, seed=seed,
            progress=progress,
        )  # fmt: skip
    table = calibrate(table, found)
    table.save(output)
    assert table.calibration is not None
    result = {
        "ops": len(table.ops),
        "seconds": table.protocol.seconds,
        "table": str(output),
        "device": table.device.model_dump(),
        "scale": table.calibration.scale,
        "error_90": table.calibration.error_90,
    }
    print_result(
        result,
        as_json,
        f"{len(table.ops)} ops and {len(table.networks)} networks in {table.protocol.seconds:.0f} s on {table.device}",
        f"a network takes {table.calibration.scale:.3f} × the sum of its ops, ±{table.calibration.error_90:.1%} (90 %)",
        f"the machine's own speed varied by ±{table.protocol.unsteadiness_90:.1%} from second to second",
        f"table: {output}",
    )
