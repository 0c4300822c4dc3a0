"""``hwnas bench``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import JsonOption, Progress, SeedOption, print_result

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.artifact.bench import Bench


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Folders that `hwnas export` made.")],
    threads: Annotated[int, typer.Option(help="Of one inference.")] = 1,
    batch: Annotated[int, typer.Option(help="Images per inference.")] = 1,
    table: Annotated[Path | None, typer.Option(help="A latency table, to print its prediction beside.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Latency of all files of all artifacts on this machine, measured in turn in random order."""
    from hwnas.artifact.bench import bench as bench_artifacts
    from hwnas.artifact.bundle import load_artifact
    from hwnas.cli.models import predicted_interval_ms
    from hwnas.tables.table import LatencyTable

    loaded = {str(path): load_artifact(path) for path in artifacts}
    measured = LatencyTable.load(table) if table else None
    predictions = {path: predicted_interval_ms(artifact, measured)[0] for path, artifact in loaded.items() if measured}
    with Progress() as progress:
        found = bench_artifacts(
            list(loaded.values()), threads=threads, batch=batch, beside=measured, seed=seed, progress=progress
        )
    result = result_of(found, predictions)
    lines = [
        f"{row['p50_ms']:>9.3f} ms  (p10 {row['p10_ms']:.3f}, p90 {row['p90_ms']:.3f})  {row['images_per_s']:>9.1f} "
        f"images/s  {row['artifact']} {row['target']} on {row['runtime']}"
        + (f", predicted {row['predicted_ms']:.3f} ms" if row["predicted_ms"] else "")
        for row in result["results"]
    ]
    lines += [f"not run here: {row['artifact']} {row['target']}: {row['lacks']}" for row in result["lacking"]]
    if found.drift:
        lines.append(f"the table's own networks take {found.drift:.3f} × what they took when it was made")
    print_result(result, as_json, *lines)


def result_of(found: Bench, predictions: Mapping[str, float]) -> dict[str, Any]:
    """Plain values of a bench; ``predictions`` maps an artifact's path to what a table says, in ms."""
    rows = [
        {
            "artifact": r.artifact,
            "target": r.file.target,
            "runtime": r.file.settings.runtime,
            "precision": r.file.settings.precision,
            "threads": r.threads,
            "batch": r.batch,
            **r.latency.model_dump(),
            "images_per_s": r.images_per_s,
            "bytes": r.file.bytes,
            "predicted_ms": predictions.get(r.artifact),
        }
        for r in found.results
    ]
    lacking = [{"artifact": a, "target": t, "lacks": why} for (a, t), why in found.lacking.items()]
    return {"results": rows, "drift": found.drift, "lacking": lacking}
