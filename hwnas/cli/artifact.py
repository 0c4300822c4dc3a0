"""``hwnas artifact …``: what is done with a finished artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result

app = typer.Typer(help="Finished artifacts.", no_args_is_help=True)

ArtifactArgument = Annotated[Path, typer.Argument(help="A folder that `hwnas export` made.")]


@app.callback()
def _artifact() -> None:  # so that there is a verb "check" though it is the only one
    pass


@app.command("check")
def check(artifact: ArtifactArgument, seed: UnusedSeedOption = 0, as_json: JsonOption = False) -> None:
    """Hold everything in an artifact against its manifest."""
    from hwnas.artifact.bundle import load_artifact

    manifest = load_artifact(artifact).manifest
    print_result({"artifact": str(artifact)}, as_json, f"{artifact}: {len(manifest.sha256)} files as they were made")
