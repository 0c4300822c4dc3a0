"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli import profiling_options as options
from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.errors import ConfigError, DeviceError
from hwnas.files import refuse_existing
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.flow.carry_out import DeviceTables
    from hwnas.tables.table import LatencyTable


def profile(
    space: options.SpaceOption,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The table to write (YAML); of several devices the folder for them.")
    ],
    runtime: options.RuntimeOption = "onnxruntime",
    option: options.OptionsOption = None,
    threads: options.ThreadsOption = 1,
    precision: options.PrecisionOption = "fp32",
    batch: options.BatchOption = 1,
    resolution: options.ResolutionOption = None,
    classes: options.ClassesOption = None,
    networks: options.NetworksOption = 20,
    held_out: options.HeldOutOption = 0,
    confidence: options.ConfidenceOption = 0.02,
    seconds: options.SecondsOption = 60.0,
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
    from hwnas.flow.carry_out import DeviceTables, check_folder, profile_cluster, profile_each, profile_here, profile_on
    from hwnas.flow.plan import plan
    from hwnas.profiling.measure import conditions_of
    from hwnas.profiling.timer import Effort
    from hwnas.profiling.transports import Remote
    from hwnas.runtimes.registry import get_runtime
    from hwnas.space.registry import get_space

    several = workers is not None or len(on or []) > 1
    (check_folder if several else refuse_existing)(output)
    if (python or ssh_config) and not on:
        raise ConfigError("--python and --ssh-config are for another machine; say which one with --on")
    if workers is not None and on:
        raise ConfigError("--workers measures the machines of a cluster; leave out --on, or --workers")
    found, runs = get_space(space, resolution, classes), get_runtime(runtime, options.options_of(option))
    asked = plan(
        found, conditions_of(runs, threads=threads, precision=precision, batch=batch), networks=networks,
        held_out=held_out, effort=Effort(confidence=confidence, at_most_s=seconds), seed=seed,
    )  # fmt: skip
    remotes = [Remote(address, python or "python3", ssh_config) for address in on or []]
    with ProgressBars() as progress:
        if workers is not None:
            made: LatencyTable | DeviceTables = profile_cluster(asked, workers, output, tell=say)
        elif several:
            made = profile_each(asked, remotes, output, progress=progress, tell=say)
        elif remotes:
            made = profile_on(asked, remotes[0], output, progress=progress, tell=say)
        else:
            made = profile_here(asked, output, progress=progress)
    if isinstance(made, DeviceTables):
        _print_all(made, as_json)
    else:
        result, lines = options.summary(made, output)
        print_result(result, as_json, *lines)


def _print_all(tables: DeviceTables, as_json: bool) -> None:
    """Raises:
    DeviceError: a table couldn't be made.
    """
    summaries = {path: options.summary(table, path) for path, table in sorted(tables.made.items())}
    result = {
        "tables": [{"name": path.stem, **summary} for path, (summary, _) in summaries.items()],
        "failed": [{"name": path.stem, "reason": reason} for path, reason in sorted(tables.failed.items())],
    }
    print_result(result, as_json, *(f"{path.stem}: {line}" for path, (_, ls) in summaries.items() for line in ls))
    if tables.failed:
        count = len(tables.made) + len(tables.failed)
        names = ", ".join(sorted(path.stem for path in tables.failed))
        raise DeviceError(f"{len(tables.failed)} of {count} devices have no table: {names}; the same command goes on")
