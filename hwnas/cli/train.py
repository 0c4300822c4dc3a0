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
        Path, typer.Argument(help="YAML: `data`, and `space` or `network`; see docs/train-a-supernet.md.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/<name of the config> when absent.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="In place of the config's seed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a supernet, or one network; with torchrun, in several processes."""
    from hwnas.training.config import read_config
    from hwnas.training.loop import train as run_training

    run = output or Path("runs") / config.stem
    settings = read_config(config)
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    with ProgressBars() as progress:
        found = run_training(settings, run, resume=resume, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first one speaks
        print_result({"run": str(run), "accuracy": found.accuracy}, as_json, f"run: {run}")
