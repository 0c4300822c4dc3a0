"""``hwnas train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, print_result
from hwnas.progress import ProgressBars


def train(
    config: Annotated[
        Path, typer.Argument(help="YAML: `data`, `learner` (a supernet or a network); see docs/train-a-supernet.md.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/<name of the config> when absent.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="In place of the config's seed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a supernet, or one network; with torchrun, in several processes."""
    from hwnas.flow import train as flow

    with ProgressBars() as progress:
        found = flow.train(config, output, resume=resume, seed=seed, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first one speaks
        print_result({"run": str(found.run), "accuracy": found.accuracy}, as_json, f"run: {found.run}")
