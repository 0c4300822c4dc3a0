"""``hwnas artifact …``: what is done with a finished artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result
from hwnas.progress import ProgressBars

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.records.artifact import CheckRecord

app = typer.Typer(help="Finished artifacts.", no_args_is_help=True)

ArtifactArgument = Annotated[Path, typer.Argument(help="A folder that `hwnas export` made.")]
_TrustOption = Annotated[bool, typer.Option("--trust", help="Load engines that nothing vouches for, too.")]

_WORDS = {True: "ok", False: "MISSED", None: "-"}


@app.command("check")
def check(
    artifact: Annotated[Path, typer.Argument(help="A folder that `hwnas export` made, or a zip file of one.")],
    trust: _TrustOption = False,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Hold everything in an artifact against its manifest, its arch and PyTorch's logits."""
    from hwnas.flow.artifact import check as check_artifact
    from hwnas.flow.artifact import refuse_missed

    with ProgressBars() as progress:
        found = check_artifact(artifact, trusted=trust, progress=progress)
    _print(found, as_json)
    refuse_missed(found, artifact)


@app.command("zip")
def zip_(
    artifact: ArtifactArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Pack an artifact into one file; the same artifact gives the same bytes."""
    from hwnas.flow.artifact import zip_artifact

    packed = zip_artifact(artifact, output)
    print_result({"zip": str(output), "bytes": packed}, as_json, f"{packed / 1e6:.2f} MB: {output}")


@app.command("unzip")
def unzip(
    archive: Annotated[Path, typer.Argument(help="A file that `hwnas artifact zip` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")],
    trust: _TrustOption = False,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Unpack an artifact and check it; what misses a check isn't kept."""
    from hwnas.flow.artifact import unzip as unzip_artifact

    with ProgressBars() as progress:
        found = unzip_artifact(archive, output, trusted=trust, progress=progress)
    _print(found, as_json)


@app.command("triton")
def triton(
    artifact: ArtifactArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model repository to make.")],
    name: Annotated[str | None, typer.Option(help="That models' names begin with; the folder's when absent.")] = None,
    queue_delay_us: Annotated[
        int, typer.Option(min=0, help="How long a request may wait to be batched with others, in microseconds.")
    ] = 100,
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server."""
    from hwnas.flow.artifact import triton as write_repository

    written = write_repository(artifact, output, name=name, queue_delay_us=queue_delay_us)
    print_result(
        {"repository": str(output), "models": written.models, "skipped": written.skipped},
        as_json,
        *(f"{model}: {target}" for model, target in written.models.items()),
        *(f"skipped {target}: {reason}" for target, reason in written.skipped.items()),
        f"model repository: {output}; start Triton with --model-repository={output}",
    )


def _print(found: CheckRecord, as_json: bool) -> None:
    lines = [f"{_WORDS[each.passed]:<6} {each.about}: {each.text}" for each in found.checks]
    print_result(found.plain(), as_json, *lines)
