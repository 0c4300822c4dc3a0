"""``hwnas profile``, and ``hwnas kit …`` for a device that hwnas isn't installed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import (
    ClassesOption,
    JsonOption,
    ResolutionOption,
    SeedOption,
    ShapeOption,
    command,
    parse_shapes,
    print_result,
    space_names,
)
from hwnas.errors import ConfigError, DeviceError, counted
from hwnas.files import refuse_existing
from hwnas.progress import Progress, ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.flow.carry_out import DeviceTables
    from hwnas.flow.jobs import Job
    from hwnas.tables.device import Conditions
    from hwnas.tables.kernel_table import KernelTable
    from hwnas.tables.table import LatencyTable

kit_app = typer.Typer(help="Profiling kits, for devices without hwnas.", no_args_is_help=True)

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="In place of --space: ONNX files, module:callable, archs, spaces."),
]
KernelsOption = Annotated[
    bool, typer.Option("--kernels", help="In place of MODEL: kernels that are chosen for anyone's models to come.")
]
CountOption = Annotated[int, typer.Option("--count", min=1, help="Of --kernels: how many.")]
KnownOption = Annotated[
    list[Path] | None, typer.Option("--with", help="Of models and --kernels: what this table has isn't measured again.")
]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="Name of a space, or its .yaml file.", autocompletion=space_names)
]
RuntimeOption = Annotated[str, typer.Option("--runtime", help="What runs the network.")]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE for the runtime; give it again for another.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", help="Of one inference.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="fp32, fp16, bf16 or int8, as the runtime has it.")]
BatchOption = Annotated[int, typer.Option("--batch", help="Images per inference.")]
NetworksOption = Annotated[int, typer.Option("--networks", min=3, help="Whole networks to calibrate with.")]
HeldOutOption = Annotated[
    int, typer.Option("--held-out", min=0, help="Whole networks to validate with, measured twice each.")
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", min=1e-4, max=1.0, help="Know each median to ± this share (95 %).")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.0, max=1e9, help="End after so many, known or not.")]


def profile(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The table to write; of several devices the folder for them.")
    ],
    models: ModelsArgument = None,
    space: SpaceOption = None,
    kernels: KernelsOption = False,
    count: CountOption = 600,
    runtime: RuntimeOption = "onnxruntime",
    option: OptionsOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "fp32",
    batch: BatchOption = 1,
    resolution: ResolutionOption = None,
    classes: ClassesOption = None,
    networks: NetworksOption = 20,
    held_out: HeldOutOption = 0,
    confidence: ConfidenceOption = 0.02,
    seconds: SecondsOption = 60.0,
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
    shape: ShapeOption = None,
    known: KnownOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure every op of a space, here or --on other machines; or the kernels that a runtime makes of models.

    Give it the machine alone: other work counts too.
    """
    _check_kind(models, space, kernels, batch, resolution, classes, shape, known)
    several = workers is not None or len(on or []) > 1
    if (python or ssh_config) and not on:
        raise ConfigError("--python and --ssh-config are for another machine; say which one with --on")
    if workers is not None and on:
        raise ConfigError("--workers measures the machines of a cluster; leave out --on, or --workers")
    if several and known:
        raise ConfigError("a table to measure --with is of one device; leave it out, or measure one device at a time")
    from hwnas.flow.carry_out import DeviceTables, check_folder, profile_at, profile_cluster, profile_each
    from hwnas.profiling.transports import Remote

    (check_folder if several else refuse_existing)(output)
    conditions = _conditions(runtime, option, threads, precision, batch)
    with ProgressBars() as progress:
        job = _job(
            models, space, kernels, conditions, count=count, resolution=resolution, classes=classes, networks=networks,
            held_out=held_out, confidence=confidence, seconds=seconds, shape=shape, known=known, seed=seed,
            progress=progress,
        )  # fmt: skip
        remotes = [Remote(address, python or "python3", ssh_config) for address in on or []]
        if workers is not None:
            made: LatencyTable | KernelTable | DeviceTables[Any] = profile_cluster(job, workers, output, tell=say)
        elif several:
            made = profile_each(job, remotes, output, progress=progress, tell=say)
        else:
            made = profile_at(job, remotes[0] if remotes else None, output, progress=progress, tell=say)
    if isinstance(made, DeviceTables):
        _print_all(made, as_json)
    else:
        result, lines = summary(made, output)
        print_result(result, as_json, *lines)


def _check_kind(
    models: list[str] | None,
    space: str | None,
    kernels: bool,
    batch: int,
    resolution: int | None,
    classes: int | None,
    shape: list[str] | None,
    known: list[Path] | None,
) -> None:
    """Raises:
    ConfigError: two of models, kernels for any and a space, or none, or what is said of the one for the other.
    """
    if (given := sum(map(bool, (models, space, kernels)))) != 1:
        raise ConfigError(f"give --space, or models to profile, or --kernels{', not both' if given else ''}")
    if kernels and shape:
        raise ConfigError("--shape is of a model's input; leave it out, or --kernels")
    if not space and (batch != 1 or resolution is not None or classes is not None):
        raise ConfigError("models have shapes of their own; leave out --batch, --resolution and --classes")
    if space and (shape or known):
        raise ConfigError("--shape and --with are for models; leave them out, or --space")


def _job(
    models: list[str] | None,
    space: str | None,
    kernels: bool,
    conditions: Conditions,
    *,
    count: int,
    resolution: int | None,
    classes: int | None,
    networks: int,
    held_out: int,
    confidence: float,
    seconds: float,
    shape: list[str] | None,
    known: list[Path] | None,
    seed: int,
    progress: Progress,
) -> Job[Any]:
    """What is to be measured: models, kernels for any, or a space."""
    if models or kernels:
        runtime, options = conditions.runtime, conditions.options
        threads, precision = conditions.threads, conditions.precision
        if models:
            from hwnas.flow.kernels import models_job

            return models_job(
                models, runtime=runtime, options=options, threads=threads, precision=precision,
                shapes=parse_shapes(shape), known=known, confidence=confidence, seconds=seconds, seed=seed,
            )  # fmt: skip
        from hwnas.flow.kernel_grid import kernels_job

        return kernels_job(
            count, runtime=runtime, options=options, threads=threads, precision=precision, known=known,
            confidence=confidence, seconds=seconds, seed=seed, progress=progress,
        )  # fmt: skip
    from hwnas.flow.jobs import SpaceJob
    from hwnas.flow.profile import plan
    from hwnas.profiling.timer import Effort
    from hwnas.space.registry import get_space

    assert space
    asked = plan(
        get_space(space, resolution, classes), conditions, networks=networks, held_out=held_out,
        effort=Effort(confidence=confidence, at_most_s=seconds), seed=seed,
    )  # fmt: skip
    return SpaceJob(asked)


def _print_all(tables: DeviceTables[Any], as_json: bool) -> None:
    summaries = {path: summary(table, path) for path, table in sorted(tables.made.items())}
    result = {
        "tables": [{"name": path.stem, **summary} for path, (summary, _) in summaries.items()],
        "failed": [{"name": path.stem, "reason": reason} for path, reason in sorted(tables.failed.items())],
    }
    print_result(result, as_json, *(f"{path.stem}: {line}" for path, (_, ls) in summaries.items() for line in ls))
    if tables.failed:
        count = len(tables.made) + len(tables.failed)
        names = ", ".join(sorted(path.stem for path in tables.failed))
        raise DeviceError(f"{len(tables.failed)} of {count} devices have no table: {names}; the same command goes on")


@kit_app.callback()
def _kit() -> None:  # so that there is a verb "build" though it is the only one
    pass


@kit_app.command("build")
def build(
    output: Annotated[Path, typer.Option("-o", "--output", help="The kit to write (.pyz).")],
    models: ModelsArgument = None,
    space: SpaceOption = None,
    kernels: KernelsOption = False,
    count: CountOption = 600,
    runtime: RuntimeOption = "onnxruntime",
    option: OptionsOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "fp32",
    batch: BatchOption = 1,
    resolution: ResolutionOption = None,
    classes: ClassesOption = None,
    networks: NetworksOption = 20,
    held_out: HeldOutOption = 20,
    confidence: ConfidenceOption = 0.02,
    seconds: SecondsOption = 60.0,
    shape: ShapeOption = None,
    known: KnownOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one file that measures every op of a space, or kernels of models, with Python, numpy and the runtime.

    There: python KIT.pyz -o RESULT. Then, here: hwnas table import RESULT -o TABLE.
    """
    _check_kind(models, space, kernels, batch, resolution, classes, shape, known)
    from hwnas.flow.jobs import write_kit

    refuse_existing(output)
    conditions = _conditions(runtime, option, threads, precision, batch)
    with ProgressBars() as progress:
        job = _job(
            models, space, kernels, conditions, count=count, resolution=resolution, classes=classes, networks=networks,
            held_out=held_out, confidence=confidence, seconds=seconds, shape=shape, known=known, seed=seed,
            progress=progress,
        )  # fmt: skip
        built = write_kit(job, output, progress=progress)
    entries = f"{built.entries} kernels and models" if models or kernels else counted(built.entries, "model")
    result = {"kit": str(output), "sha256": built.sha256, "bytes": len(built.data), "entries": built.entries}
    print_result(
        result,
        as_json,
        f"{entries} of {job.name} for {runtime}, {len(built.data) / 1e6:.1f} MB",
        *([f"{built.failed} of them can't be had in {precision}: recorded as failed"] if built.failed else []),
        f"kit: {output}; on the device, with Python ≥ 3.8, numpy and {runtime}: python {output.name} -o RESULT",
    )


def _conditions(runtime: str, options: list[str] | None, threads: int, precision: str, batch: int) -> Conditions:
    """How networks are to be run; ``options`` as ``--option`` has them.

    Raises:
        ConfigError: an option isn't NAME=VALUE or is there twice, or the runtime can't run networks so.
        RuntimeMissingError: the runtime isn't known or installed.
    """
    from hwnas.profiling.local import conditions_of
    from hwnas.runtimes.registry import get_runtime

    given: dict[str, str] = {}
    for text in options or []:
        key, equals, value = text.partition("=")
        if not equals or not key or key in given:
            raise ConfigError(f"--option takes NAME=VALUE, each name once, got {text!r}")
        given[key] = value
    return conditions_of(get_runtime(runtime, given), threads=threads, precision=precision, batch=batch)


def summary(table: LatencyTable | KernelTable, output: object) -> tuple[dict[str, Any], list[str]]:
    """What a new table says: the JSON object, and lines to read."""
    from hwnas.cli.kernels import of_table
    from hwnas.tables.table import LatencyTable

    if not isinstance(table, LatencyTable):
        return of_table(table, output)
    protocol, calibration = table.protocol, table.calibration
    assert protocol is not None
    result = {
        "ops": len(table.ops),
        "failed": [{"op": op.to_dict(), "reason": reason} for op, reason in table.failed.items()],
        "networks": len(table.networks),
        "held_out": len(table.held_out),
        "seconds": protocol.seconds,
        "table": str(output),
        "device": table.device.plain(),
        "confidence_asked": protocol.confidence_asked,
        "confidence_95": protocol.confidence_95,
        "unsteadiness_90": protocol.unsteadiness_90,
        "calibration": calibration.plain() if calibration else None,
    }
    count = f"{counted(len(table.ops), 'op')} and {counted(len(table.networks) + 2 * len(table.held_out), 'network')}"
    lines = [f"{count} in {protocol.seconds:.0f} s on {table.device}"]
    lines += [f"could not be run: [{op}]: {reason}" for op, reason in list(table.failed.items())[:5]]
    lines.append(
        f"medians known to ±{protocol.confidence_95:.1%} (95 %), asked ±{protocol.confidence_asked:.1%}; the machine's "
        f"own speed varied by ±{protocol.unsteadiness_90:.1%} from second to second"
    )
    if protocol.confidence_95 > protocol.confidence_asked:
        lines.append("the machine was too noisy for the confidence asked: give it no other work, or more --seconds")
    lines.append(f"a network takes {calibration}" if calibration else "not calibrated: too few networks ran")
    space = table.space.source if table.space else "SPACE"
    return result, [*lines, f"table: {output}", f"next: {command('space', 'feasible', space, '--table', output)}"]
