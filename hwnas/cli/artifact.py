"""``hwnas artifact …``: what is done with a finished artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import JsonOption, UnusedSeedOption, print_result
from hwnas.errors import CheckError
from hwnas.progress import ProgressBars

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.artifacts.check import Finding

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
    from hwnas.artifacts.check import check_artifact

    with ProgressBars() as progress:
        found = check_artifact(artifact, trusted=trust, progress=progress)
    _print(artifact, found, as_json)


@app.command("zip")
def zip_(
    artifact: ArtifactArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
    seed: UnusedSeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Pack an artifact into one file; the same artifact gives the same bytes."""
    from hwnas.artifacts.archive import zip_artifact

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
    from hwnas.artifacts.archive import unzipped
    from hwnas.artifacts.check import check_artifact

    with ProgressBars() as progress, unzipped(archive, output) as folder:
        found = check_artifact(folder, trusted=trust, progress=progress)
        _refuse_missed(archive, found)
    _print(output, found, as_json)


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
    from hwnas.artifacts.bundle import load_artifact
    from hwnas.artifacts.triton import write_repository

    written = write_repository(load_artifact(artifact), output, name=name, queue_delay_us=queue_delay_us)
    print_result(
        {"repository": str(output), "models": written.models, "skipped": written.skipped},
        as_json,
        *(f"{model}: {target}" for model, target in written.models.items()),
        *(f"skipped {target}: {reason}" for target, reason in written.skipped.items()),
        f"model repository: {output}; start Triton with --model-repository={output}",
    )


def _print(artifact: Path, found: Sequence[Finding], as_json: bool) -> None:
    checks = [{"about": f.about, "passed": f.passed, "text": " ".join(f.text.split())} for f in found]
    lines = [f"{_WORDS[f.passed]:<6} {f.about}: {' '.join(f.text.split())}" for f in found]
    missed = sum(f.passed is False for f in found)
    print_result({"artifact": str(artifact), "passed": not missed, "checks": checks}, as_json, *lines)
    _refuse_missed(artifact, found)


def _refuse_missed(path: Path, found: Sequence[Finding]) -> None:
    """Raises:
    CheckError: a check was missed.
    """
    missed = [f for f in found if f.passed is False]
    if missed:
        raise CheckError(f"{path} misses {len(missed)} of {len(found)} checks: {missed[0].about}: {missed[0].text}")
