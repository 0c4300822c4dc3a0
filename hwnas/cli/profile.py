"""``hwnas profile``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli import profiling
from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result, say
from hwnas.cli.importing import taken_in
from hwnas.errors import ConfigError, HwnasError, InputError, KitError
from hwnas.files import refuse_existing

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.profile.plan import Plan
    from hwnas.profile.remote import Transport
    from hwnas.runtimes.base import Runtime
    from hwnas.space.space import Space
    from hwnas.tables.table import LatencyTable


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
    on: Annotated[
        str | None, typer.Option("--on", help="Measure there: ssh://[user@]host[:port] or adb://SERIAL.")
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
    """Measure every op of a space, here or --on another machine. Give it the machine alone: other work counts too."""
    from hwnas.profile.sweep import carry_out
    from hwnas.profile.transports import transport_to
    from hwnas.space.yaml import get_space

    refuse_existing(output)
    if (python or ssh_config) and not on:
        raise ConfigError("--python and --ssh-config are for another machine; say which one with --on")
    found, runs = get_space(space, resolution, classes), profiling.runtime_for(runtime, option)
    plan = profiling.plan_for(
        found, runs, networks=networks, held_out=held_out, threads=threads, precision=precision, batch=batch,
        confidence=confidence, seconds=seconds, seed=seed,
    )  # fmt: skip
    if on:
        table = _there(plan, found, runs, transport_to(on, ssh_config), python or "python3", output)
    else:
        with Progress() as progress:
            table = profiling.finished(carry_out(plan, found, runs, progress=progress), found)
        table.save(output)
    result, lines = profiling.summary(table, output)
    print_result(result, as_json, *lines)


def _there(plan: Plan, space: Space, runtime: Runtime, transport: Transport, python: str, output: Path) -> LatencyTable:
    from hwnas.profile.kit import build_kit
    from hwnas.profile.remote import check_python, clean_up, measure_on
    from hwnas.profile.result import read_result

    check_python(transport, python)
    with Progress() as progress:
        kit = build_kit(plan, space, runtime, progress=progress)
    with TemporaryDirectory() as folder:
        fetched = Path(folder) / "result.json"
        measure_on(transport, kit, fetched, python=python, on_line=lambda line: say(f"{transport.name}: {line}"))
        try:
            returned = read_result(fetched)
            if returned.kit_sha256 != kit.sha256:
                raise KitError(f"what came back from {transport.name} is of another kit; measure again")
            table = taken_in(returned, f"what came back from {transport.name}")
        except InputError:
            clean_up(transport, kit)  # else the next attempt would find the same result there
            raise
    table.save(output)
    try:
        clean_up(transport, kit)
    except HwnasError as error:
        say(f"the table is made, but {error}")
    return table
