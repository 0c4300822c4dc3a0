"""``hwnas bench``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.progress import ProgressBars

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.artifacts.bench import Bench, BenchResult
    from hwnas.artifacts.cells import Cell
    from hwnas.tables.device import Device


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Folders that `hwnas export` made.")],
    threads: Annotated[list[int], typer.Option(help="Of one inference; may be given again.")] = [1],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="Images per inference; may be given again.")] = [1],  # noqa: B006
    runtime: Annotated[
        list[str] | None, typer.Option(help="Run files on this, not on their own; may be given again.")
    ] = None,
    all_runtimes: Annotated[
        bool, typer.Option("--all-runtimes", help="Run ONNX on every runtime that takes it.")
    ] = False,
    table: Annotated[Path | None, typer.Option(help="A latency table, to print its prediction beside.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load engines that nothing vouches for: native code.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Time all files of all artifacts on this machine, in turn in random order, and name the fastest."""
    from hwnas.artifacts.bench import bench as bench_artifacts
    from hwnas.artifacts.bundle import load_artifact
    from hwnas.artifacts.cells import TAKE_ONNX
    from hwnas.cli.bench_table import lines
    from hwnas.cli.models import predicted_interval_ms
    from hwnas.tables.table import LatencyTable

    loaded = {str(path): load_artifact(path) for path in artifacts}
    measured = LatencyTable.load(table) if table else None
    predictions = {path: predicted_interval_ms(artifact, measured)[0] for path, artifact in loaded.items() if measured}
    asked = list(runtime or [])
    if all_runtimes:
        own = [file.settings.runtime for artifact in loaded.values() for file in artifact.manifest.files]
        asked = [*asked, *TAKE_ONNX, *own]
    with ProgressBars() as progress:
        found = bench_artifacts(
            list(loaded.values()), batches=batch, threads=threads, runtimes=asked, beside=measured,
            trusted=trust, seed=seed, progress=progress,
        )  # fmt: skip
    result = result_of(found, predictions, measured.device if measured else None)
    print_result(result, as_json, *([] if as_json else lines(result, sys.stdout)))


def result_of(found: Bench, predictions: Mapping[str, float], device: Device | None) -> dict[str, Any]:
    """Plain values of a bench.

    Args:
        found: the bench.
        predictions: artifact's path -> what a table says of its network, in ms.
        device: the table's; rows of other conditions have no prediction.
    """
    return {
        "results": [_row(each, predictions, device) for each in found.results],
        "fastest": [
            _named(best.cell) | {"p50_ms": best.latency.p50_ms, "as_fast": [_named(each.cell) for each in equal]}
            for best, equal in found.fastest()
        ],
        "lacking": [_named(cell) | {"lacks": reason} for cell, reason in found.lacking],
        "drift": found.drift,
        "confidence_95": found.confidence_95,
        "unsteadiness_90": found.unsteadiness_90,
    }


def _named(cell: Cell) -> dict[str, Any]:
    return {
        "artifact": str(cell.artifact.path),
        "target": cell.file.target,
        "runtime": cell.runtime,
        "threads": cell.threads,
        "batch": cell.batch,
    }


def _row(each: BenchResult, predictions: Mapping[str, float], device: Device | None) -> dict[str, Any]:
    cell, precision = each.cell, each.cell.file.settings.precision
    comparable = device and (device.runtime, device.precision, device.threads, device.batch) == (
        cell.runtime, precision, cell.threads, cell.batch,
    )  # fmt: skip
    return {
        **_named(cell),
        "precision": precision,
        **each.latency.model_dump(),
        "images_per_s": each.images_per_s,
        "bytes": cell.file.bytes,
        "parity": each.parity.model_dump() if each.parity else None,
        "precisions": each.precisions,
        "memory_mb": each.memory_mb,
        "predicted_ms": predictions.get(str(cell.artifact.path)) if comparable else None,
    }
