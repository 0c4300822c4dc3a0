"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli import profiling
from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.errors import ConfigError, DeviceError
from hwnas.files import refuse_existing
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.flow.elsewhere import DeviceTables


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
    from hwnas.flow import elsewhere
    from hwnas.flow.profile import plan
    from hwnas.flow.profile import profile as profile_one
    from hwnas.profiling.measure import conditions_of
    from hwnas.profiling.timer import Effort
    from hwnas.profiling.transports import Remote
    from hwnas.runtimes.registry import get_runtime
    from hwnas.space.registry import get_space

    several = workers is not None or len(on or []) > 1
    (elsewhere.check_folder if several else refuse_existing)(output)
    if (python or ssh_config) and not on:
        raise ConfigError("--python and --ssh-config are for another machine; say which one with --on")
    if workers is not None and on:
        raise ConfigError("--workers measures the machines of a cluster; leave out --on, or --workers")
    found, options = get_space(space, resolution, classes), profiling.options_of(option)
    remotes = [Remote(address, python or "python3", ssh_config) for address in on or []]
    with ProgressBars() as progress:
        if not several:
            table = profile_one(
                found, runtime=runtime, options=options, threads=threads, precision=precision, batch=batch,
                networks=networks, held_out=held_out, confidence=confidence, seconds=seconds, seed=seed,
                on=remotes[0] if remotes else None, output=output, progress=progress, tell=say,
            )  # fmt: skip
        else:
            asked = plan(
                found,
                conditions_of(get_runtime(runtime, options), threads=threads, precision=precision, batch=batch),
                networks=networks, held_out=held_out, effort=Effort(confidence=confidence, at_most_s=seconds),
                seed=seed,
            )  # fmt: skip
            if workers is not None:
                tables = elsewhere.profile_cluster(asked, found, workers, output, tell=say)
            else:
                tables = elsewhere.profile_each(asked, found, remotes, output, progress=progress, tell=say)
    if several:
        _print_all(tables, as_json)
    else:
        result, lines = profiling.summary(table, output)
        print_result(result, as_json, *lines)


def _print_all(tables: DeviceTables, as_json: bool) -> None:
    """Raises:
    DeviceError: a table couldn't be made.
    """
    summaries = {path: profiling.summary(table, path) for path, table in sorted(tables.made.items())}
    result = {
        "tables": [{"name": path.stem, **summary} for path, (summary, _) in summaries.items()],
        "failed": [{"name": path.stem, "reason": reason} for path, reason in sorted(tables.failed.items())],
    }
    print_result(result, as_json, *(f"{path.stem}: {line}" for path, (_, ls) in summaries.items() for line in ls))
    if tables.failed:
        count = len(tables.made) + len(tables.failed)
        names = ", ".join(sorted(path.stem for path in tables.failed))
        raise DeviceError(f"{len(tables.failed)} of {count} devices have no table: {names}; the same command goes on")
