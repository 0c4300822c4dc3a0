"""``hwnas similarity``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.errors import CheckpointError
from hwnas.files import refuse_existing, write_atomic
from hwnas.progress import Progress, ProgressBars, say

if TYPE_CHECKING:
    from hwnas.arrays import Values
    from hwnas.graph.graph import Op
    from hwnas.reporting.similarity import LayerFigures, RunFigures, SimilarityFigures


def similarity(
    runs: Annotated[list[Path], typer.Argument(help="Runs of `hwnas train`, of one space and one data set.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="An HTML file with heat maps to write.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="The same heat maps as a picture; takes chromium.")] = None,
    images: Annotated[int, typer.Option(min=2, help="Images of the validation part.")] = 256,
    prefixes: Annotated[int, typer.Option(min=1, help="Random paths to a layer's input.")] = 16,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """How alike the features are that the choices of each layer put out, skips and blocks.

    SCARLET-NAS (§3) finds that the blocks of a layer learn similar features, and that a skip does too once it has a
    stabilizer; docs/results.md says what was found here.
    """
    from hwnas.reporting.picture import find_browser
    from hwnas.reporting.similarity import render_similarity, save_picture
    from hwnas.training.run import read_supernet_info

    for path in filter(None, (output, png)):
        refuse_existing(path)
    if png:
        find_browser()
    first, *others = [read_supernet_info(run) for run in runs]
    for run, info in zip(runs[1:], others, strict=True):
        for what, field in (("space", "space_sha256"), ("data", "data_sha256"), ("held_out", "held_out")):
            if getattr(info, field) != getattr(first, field):
                raise CheckpointError(f"{run} has another {what} than {runs[0]}; compare them in calls of their own")
    with ProgressBars() as progress:
        found = _compare(runs, images, prefixes, seed, progress)
    if found["images"] < images:
        say(f"the validation part has {found['images']} images: took all of them")
    if output:
        write_atomic(output, render_similarity(found))
    if png:
        save_picture(found, png)
    print_result(dict(found), as_json, *_lines(found), *(f"written: {path}" for path in (output, png) if path))


def _compare(runs: list[Path], images: int, prefixes: int, seed: int, progress: Progress) -> SimilarityFigures:
    from hwnas.evaluation.similarity import feature_similarity
    from hwnas.training.run import load_supernet

    data = load_supernet(runs[0]).data  # of all: loading it may take longer than the rest
    available = len(data.validation.labels)
    figures: list[RunFigures] = []
    for run in runs:
        supernet = load_supernet(run).supernet
        space = supernet.space
        matrices = feature_similarity(
            supernet, data, images=images, prefixes=prefixes, seed=seed,
            progress=lambda done, total, run=run: progress(f"comparing {run}", done, total, ""),  # type: ignore[misc]
        )  # fmt: skip
        layers = [_layer(i, ops, matrix) for i, (ops, matrix) in enumerate(zip(space.layers, matrices, strict=True))]
        compared = [layer for layer in layers if layer["skip"] is not None] or layers
        figures.append({
            "run": str(run), "stabilizers": supernet.space.inherits, "layers": layers,
            "skip_mean": _mean([layer["skip"] for layer in compared]),
            "blocks_mean": _mean([layer["blocks"] for layer in compared]),
        })  # fmt: skip
    return {
        "space": space.name, "images": min(images, available), "prefixes": prefixes, "seed": seed, "runs": figures,
    }  # fmt: skip


def _layer(index: int, ops: tuple[Op, ...], matrix: Values) -> LayerFigures:
    from hwnas.evaluation.similarity import mean_similarities

    skip, blocks = mean_similarities(matrix, ops)
    names = [op.short for op in ops]
    return {"layer": index, "choices": names, "similarity": matrix.tolist(), "skip": skip, "blocks": blocks}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _lines(found: SimilarityFigures) -> Iterator[str]:
    yield (
        f"{found['space']}: mean cosine similarity of features, {found['images']} validation images, "
        f"{found['prefixes']} random prefixes"
    )
    for run in found["runs"]:
        yield f"{run['run']}, {'with' if run['stabilizers'] else 'without'} stabilizers"
        yield "  layer   skip to blocks   blocks"
        rows = [(f"{layer['layer']}", layer["skip"], layer["blocks"]) for layer in run["layers"]]
        for name, skip, blocks in [*rows, ("mean", run["skip_mean"], run["blocks_mean"])]:
            yield f"  {name:>5}   {_number(skip):>14}   {_number(blocks):>6}"
        if run["skip_mean"] is not None:
            yield "  The means are of the layers with a skip."


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
