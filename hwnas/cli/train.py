"""``hwnas train``, and ``hwnas similarity`` of what was trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, command, print_result, resumable
from hwnas.errors import LARGEST, counted
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:
    from hwnas.records.similarity import SimilarityRecord
    from hwnas.records.train import TrainRecord


def train(
    config: Annotated[
        Path, typer.Argument(help="YAML: `data`, `learner` (a supernet or a network); see docs/train-a-supernet.md.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/<name of the config> when absent.")
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(help="Latency table to search with later: refused now where it doesn't fit; again for another."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=LARGEST, help="In place of the config's seed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a supernet, or one network; with torchrun, in several processes."""
    from hwnas.flow import train as flow

    run = output or Path("runs") / config.stem
    with resumable(run, "config.yaml", sys.argv[1:]), ProgressBars() as progress:
        found = flow.train(config, run, tables=table or (), resume=resume, seed=seed, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first one speaks
        result = {"run": str(found.run), "accuracy": found.accuracy, "images": found.accuracy_images}
        print_result(result, as_json, *_ending(found))


def _ending(found: TrainRecord) -> Iterator[str]:
    """How good it became, what was left out, where it lies, and what comes next."""
    from hwnas.evaluation.interval import plus_minus
    from hwnas.training.log import read_log

    one_network = found.result != found.run
    for name, accuracy in found.accuracy.items():
        what = name if one_network else f"inherited, validation, {name}"
        yield f"accuracy, {what}: {plus_minus(accuracy, found.accuracy_images.get(name))}"
    if log := read_log(found.run):
        if skipped := log[-1].skipped_images:
            yield f"skipped {counted(skipped.count, 'image')} that can't be decoded, as {', '.join(skipped.first[:3])}"
        if log[-1].ignored_files:
            yield f"left out {counted(log[-1].ignored_files, 'file')} that can't be read as images"
    if one_network:
        yield f"model: {found.result}"
        yield f"next: {command('export', found.run, '--target', 'onnx-fp32', '-o', 'artifact')}"
    else:
        yield f"run: {found.run}"
        yield f"next: {command('search', '--supernet', found.run, '--table', 'table.yaml:MS', '-o', 'runs/search')}"


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
    from hwnas.flow import similarity as flow

    with ProgressBars() as progress:
        found = flow.similarity(
            runs, output=output, png=png, images=images, prefixes=prefixes, seed=seed, progress=progress
        )
    if found.images < images:
        say(f"the validation part has {counted(found.images, 'image')}: took all of them")
    print_result(found.plain(), as_json, *_lines(found), *(f"written: {path}" for path in (output, png) if path))


def _lines(found: SimilarityRecord) -> Iterator[str]:
    yield (
        f"{found.space}: mean cosine similarity of features, {counted(found.images, 'validation image')}, "
        f"{counted(found.prefixes, 'random prefix')}"
    )
    for run in found.runs:
        yield f"{run.run}, {'with' if run.stabilizers else 'without'} stabilizers"
        yield "  layer   skip to blocks   blocks"
        rows = [(f"{layer.layer}", layer.skip, layer.blocks) for layer in run.layers]
        for name, skip, blocks in [*rows, ("mean", run.skip_mean, run.blocks_mean)]:
            yield f"  {name:>5}   {_number(skip):>14}   {_number(blocks):>6}"
        if run.skip_mean is not None:
            yield "  The means are of the layers with a skip."


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
