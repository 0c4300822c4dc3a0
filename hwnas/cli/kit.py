"""``hwnas kit …``: profile a device that hwnas isn't installed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli import profiling_options as options
from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.files import refuse_existing
from hwnas.progress import ProgressBars

app = typer.Typer(help="Profiling kits, for devices without hwnas.", no_args_is_help=True)


@app.callback()
def _kit() -> None:  # so that there is a verb "build" though it is the only one
    pass


@app.command("build")
def build(
    space: options.SpaceOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="The kit to write (.pyz).")],
    runtime: options.RuntimeOption = "onnxruntime",
    option: options.OptionsOption = None,
    threads: options.ThreadsOption = 1,
    precision: options.PrecisionOption = "fp32",
    batch: options.BatchOption = 1,
    resolution: options.ResolutionOption = None,
    classes: options.ClassesOption = None,
    networks: options.NetworksOption = 20,
    held_out: options.HeldOutOption = 20,
    confidence: options.ConfidenceOption = 0.02,
    seconds: options.SecondsOption = 60.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one file that measures every op of a space on a device with Python, numpy and the runtime.

    There: python KIT.pyz -o RESULT. Then, here: hwnas table import RESULT -o TABLE.
    """
    from hwnas.flow.kit import kit
    from hwnas.profiling.measure import conditions_of
    from hwnas.profiling.timer import Effort
    from hwnas.runtimes.registry import get_runtime
    from hwnas.space.registry import get_space

    refuse_existing(output)
    found, runs = get_space(space, resolution, classes), get_runtime(runtime, options.options_of(option))
    with ProgressBars() as progress:
        built = kit(
            found, output, conditions=conditions_of(runs, threads=threads, precision=precision, batch=batch),
            networks=networks, held_out=held_out, effort=Effort(confidence=confidence, at_most_s=seconds), seed=seed,
            progress=progress,
        )  # fmt: skip
    result = {"kit": str(output), "sha256": built.sha256, "bytes": len(built.data), "entries": built.entries}
    print_result(
        result,
        as_json,
        f"{built.entries} models of {found.name} for {runs.name}, {len(built.data) / 1e6:.1f} MB",
        *([f"{built.failed} of them can't be had in {precision}: recorded as failed"] if built.failed else []),
        f"kit: {output}; on the device, with Python ≥ 3.8, numpy and {runs.name}: python {output.name} -o RESULT",
    )
