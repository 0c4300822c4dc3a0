"""``hwnas table show`` and ``hwnas table validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, Progress, SeedOption, UnusedSeedOption, print_result

app = typer.Typer(help="Latency tables.", no_args_is_help=True)

TableArgument = Annotated[Path, typer.Argument(help="A latency table (YAML).")]


@app.command("show")
def show(table: TableArgument, seed: UnusedSeedOption = 0, as_json: JsonOption = False) -> None:
    """What a table says: device, protocol, calibration, entries."""
    from hwnas.tables.table import LatencyTable

    loaded = LatencyTable.load(table)
    calibration = loaded.calibration
    result = {
        "device": loaded.device.model_dump(),
        "space": loaded.space.model_dump(),
        "protocol": loaded.protocol.model_dump(),
        "calibration": calibration.model_dump() if calibration else None,
        "ops": [{"op": op.to_dict(), **latency.model_dump()} for op, latency in loaded.ops.items()],
        "networks": len(loaded.networks),
    }
    protocol = loaded.protocol
    print_result(
        result,
        as_json,
        f"{loaded.device}; clocks: {loaded.device.clocks}",
        f"{loaded.space.source} at {loaded.space.resolution} px, {loaded.space.classes} classes",
        f"{protocol.rounds} rounds of {protocol.runs_per_round} runs, {protocol.seconds:.0f} s, {protocol.started}",
        f"scale {calibration.scale:.3f} ±{calibration.error_90:.1%}" if calibration else "not calibrated",
        *(f"{latency.p50_ms:>9.4f} ms ±{latency.spread:>6.1%}  {op}" for op, latency in loaded.ops.items()),
    )


@app.command("validate")
def validate(
    table: TableArgument,
    networks: Annotated[int, typer.Option(min=5, help="Random networks to measure, twice each.")] = 30,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure random whole networks on this machine and hold the table's predictions against them.

    Each network is loaded and measured twice in the same rounds: the difference is the retest noise, which no
    prediction can beat.
    """
    from hwnas.predict.validate import validate as validate_table
    from hwnas.runtimes.base import get_runtime
    from hwnas.space.yaml import get_space
    from hwnas.tables.table import LatencyTable

    loaded = LatencyTable.load(table)
    space = get_space(loaded.space.source, loaded.space.resolution, loaded.space.classes)
    runtime = get_runtime(loaded.device.runtime)
    with Progress() as progress:
        found = validate_table(loaded, space, runtime, networks=networks, seed=seed, progress=progress)
    print_result(
        found.to_dict(),
        as_json,
        f"{networks} random networks of {space.name} on this machine, predicted against measured:",
        f"  MAPE {found.mape:.2%}   within 5 % {found.within_5:.0%}   within 10 % {found.within_10:.0%}",
        f"  Spearman {found.spearman:.4f}   Kendall {found.kendall:.4f}",
        f"  multiply-adds alone: MAPE {found.madds_mape:.2%}, Spearman {found.madds_spearman:.4f}",
        f"  the same networks measured again: MAPE {found.retest_mape:.2%}",
        *([f"  the table's own networks now take {found.drift:.3f} × what they took then"] if found.drift else []),
    )
