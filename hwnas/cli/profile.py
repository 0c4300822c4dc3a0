"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli import profiling
from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result
from hwnas.files import refuse_existing


def profile(
    space: profiling.SpaceOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write (YAML).")],
    runtime: profiling.RuntimeOption = "onnxruntime",
    option: profiling.OptionsOption = None,
    threads: profiling.ThreadsOption = 1,
    precision: profiling.PrecisionOption = "fp32",
    batch: profiling.BatchOption = 1,
    resolution: profiling.ResolutionOption = None,
    classes: profiling.ClassesOption = None,
    networks: profiling.NetworksOption = 20,
    held_out: profiling.HeldOutOption = 0,
    confidence: profiling.ConfidenceOption = 0.02,
    seconds: profiling.SecondsOption = 60.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure every op of a space on this machine. Give it the machine alone: other work is measured too."""
    from hwnas.profile.sweep import carry_out
    from hwnas.space.yaml import get_space

    refuse_existing(output)
    found, runs = get_space(space, resolution, classes), profiling.runtime_for(runtime, option)
    plan = profiling.plan_for(
        found, runs, networks=networks, held_out=held_out, threads=threads, precision=precision, batch=batch,
        confidence=confidence, seconds=seconds, seed=seed,
    )  # fmt: skip
    with Progress() as progress:
        table = profiling.finished(carry_out(plan, found, runs, progress=progress), found)
    table.save(output)
    result, lines = profiling.summary(table, output)
    print_result(result, as_json, *lines)
