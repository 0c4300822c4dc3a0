"""``hwnas artifact triton``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result

app = typer.Typer(help="Finished artifacts.", no_args_is_help=True)


@app.callback()
def _artifact() -> None:  # so that there is a verb "triton" though it is the only one
    pass


@app.command("triton")
def triton(
    artifact: Annotated[Path, typer.Argument(help="A folder that `hwnas export` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model repository to make.")],
    name: Annotated[str | None, typer.Option(help="That models' names begin with; the folder's when absent.")] = None,
    queue_delay_us: Annotated[
        int, typer.Option(min=0, help="How long a request may wait to be batched with others, in microseconds.")
    ] = 100,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server."""
    from hwnas.artifact.bundle import load_artifact
    from hwnas.artifact.triton import write_repository

    written = write_repository(load_artifact(artifact), output, name=name, queue_delay_us=queue_delay_us)
    print_result(
        {"repository": str(output), "models": written.models, "skipped": written.skipped},
        as_json,
        *(f"{model}: {target}" for model, target in written.models.items()),
        *(f"skipped {target}: {reason}" for target, reason in written.skipped.items()),
        f"model repository: {output}; start Triton with --model-repository={output}",
    )
