"""``hwnas predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result


def predict(
    archs: Annotated[list[str], typer.Argument(help="Released names, arch.json files, front.json:N, or SPACE:i,j,k,…")],
    table: Annotated[
        list[Path], typer.Option(help="Latency table of the device; several (as of other resolutions) are merged.")
    ],
    resolution: Annotated[int | None, typer.Option(help="Of the input in pixels; the table's, unless given.")] = None,
    quantile: Annotated[
        Literal["p50", "p90"], typer.Option(help="Of a network's runs: their median, or what nine of ten stay within.")
    ] = "p50",
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Latency of archs in ms, with the interval that should hold 90 % of networks.

    An op that isn't in the table is interpolated from those that are; the output says so.
    """
    from hwnas.flow.predict import predict as predict_archs

    found = predict_archs(table, archs, resolution=resolution, quantile=quantile)
    low_ms, high_ms = (end.tolist() for end in found.interval_ms) if found.interval_ms else (None, None)
    result = {
        "archs": [str(arch) for arch in found.archs],
        "quantile": quantile,
        "latency_ms": found.latency_ms.tolist(),
        "low_ms": low_ms,
        "high_ms": high_ms,
        "model_mb": found.model_mb.tolist(),
        "peak_activation_mb": found.peak_activation_mb.tolist(),
        "interpolated": [[op.to_dict() for op in ops] for ops in found.interpolated],
        "device": found.device.plain(),
    }
    lines = []
    for index, arch in enumerate(found.archs):
        interval = f"{low_ms[index]:.3f} to {high_ms[index]:.3f} ms" if low_ms and high_ms else "not calibrated"
        guessed = f", {len(ops)} of its ops interpolated" if (ops := found.interpolated[index]) else ""
        lines.append(f"{found.latency_ms[index]:>9.3f} ms  ({interval}{guessed})  {arch}")
    print_result(result, as_json, *lines, f"on {found.device}")
