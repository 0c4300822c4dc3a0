"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli import elsewhere, profiling
from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result
from hwnas.errors import ConfigError
from hwnas.files import refuse_existing


def profile(
    space: profiling.SpaceOption,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The table to write (YAML); of several devices the folder for them.")
    ],
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
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", help="Measure there: ssh://[user@]host[:port] or adb://SERIAL; give it again for another device."
        ),
    ] = None,
    workers: Annotated[
        str | None, typer.Option("--workers", help="ray or ray:ADDRESS: measure each machine of the cluster, there.")
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="Python on the machine of --on; python3 if not given.")
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option("--ssh-config", help="For --on: in place of ~/.ssh/config, as ssh -F.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure every op of a space, here or --on other machines. Give it the machine alone: other work counts too."""
    from hwnas.profiling.sweep import carry_out
    from hwnas.space.registry import get_space

    several = workers is not None or len(on or []) > 1
    (elsewhere.check_folder if several else refuse_existing)(output)
    if (python or ssh_config) and not on:
        raise ConfigError("--python and --ssh-config are for another machine; say which one with --on")
    if workers is not None and on:
        raise ConfigError("--workers measures the machines of a cluster; leave out --on, or --workers")
    found, runs = get_space(space, resolution, classes), profiling.runtime_for(runtime, option)
    plan = profiling.plan_for(
        found, runs, networks=networks, held_out=held_out, threads=threads, precision=precision, batch=batch,
        confidence=confidence, seconds=seconds, seed=seed,
    )  # fmt: skip
    if several:
        if workers is not None:
            tables = elsewhere.of_nodes(plan, found, workers, output)
        else:
            tables = elsewhere.of_addresses(plan, found, runs, on or [], ssh_config, python or "python3", output)
        tables.tell(as_json)
        return
    if on:
        table = elsewhere.of_address(plan, found, runs, on[0], ssh_config, python or "python3", output)
    else:
        with Progress() as progress:
            table = profiling.finished(carry_out(plan, found, runs, progress=progress), found)
        table.save(output)
    result, lines = profiling.summary(table, output)
    print_result(result, as_json, *lines)
