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
    from hwnas.errors import ArchError
    from hwnas.prediction.latency import LatencyPredictor
    from hwnas.prediction.merge import merge
    from hwnas.prediction.size import model_mb, peak_activation_mb
    from hwnas.space.arch import parse_arch
    from hwnas.tables.table import LatencyTable

    tables = [LatencyTable.load(path) for path in table]
    loaded, made_for = merge(tables), tables[0].get_space()
    found = [parse_arch(text, resolution or made_for.resolution, made_for.classes) for text in archs]
    space = found[0].space
    if any(arch.space.fingerprint != space.fingerprint for arch in found):
        raise ArchError("the archs are of different spaces; predict those of one space at a time")
    predictor = LatencyPredictor(loaded, space, quantile=quantile)
    choices = [arch.choices for arch in found]
    latency_ms = predictor(choices)
    low_high = predictor.interval(choices)
    low_ms, high_ms = ([float(v) for v in end] for end in low_high) if low_high else (None, None)
    precision = loaded.device.precision
    interpolated = [predictor.interpolated_of(arch) for arch in choices]
    result = {
        "archs": [str(arch) for arch in found],
        "quantile": quantile,
        "latency_ms": [float(v) for v in latency_ms],
        "low_ms": low_ms,
        "high_ms": high_ms,
        "model_mb": [float(v) for v in model_mb(space, precision=precision)(choices)],
        "peak_activation_mb": [float(v) for v in peak_activation_mb(space, precision=precision)(choices)],
        "interpolated": [[op.to_dict() for op in ops] for ops in interpolated],
        "device": loaded.device.model_dump(),
    }
    lines = []
    for index, arch in enumerate(found):
        interval = f"{low_ms[index]:.3f} to {high_ms[index]:.3f} ms" if low_ms and high_ms else "not calibrated"
        guessed = f", {len(interpolated[index])} of its ops interpolated" if interpolated[index] else ""
        lines.append(f"{latency_ms[index]:>9.3f} ms  ({interval}{guessed})  {arch}")
    print_result(result, as_json, *lines, f"on {loaded.device}")
