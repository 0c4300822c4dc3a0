"""``hwnas export``, and ``hwnas artifact …``: what is done with a finished artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import (
    JsonOption,
    SeedOption,
    ShapeOption,
    TrustOption,
    command,
    parse_shapes,
    print_result,
)
from hwnas.errors import CheckError, ConfigError, counted
from hwnas.progress import ProgressBars, say

if TYPE_CHECKING:  # imported when the verb runs: it loads torch
    from hwnas.flow.file_inputs import Normalize
    from hwnas.records.artifact import CheckRecord, ExportedFile

app = typer.Typer(help="Finished artifacts.", no_args_is_help=True)

ArtifactArgument = Annotated[Path, typer.Argument(help="A folder that `hwnas export` made.")]
PackedArgument = Annotated[Path, typer.Argument(help="A folder that `hwnas export` made, or a zip file of one.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="A public key (PEM, Ed25519) that must have signed it.")]
LimitOption = Annotated[int, typer.Option("--seconds", min=1, max=86_400, help="That a file may take to be checked.")]

_WORDS = {True: "ok", False: "MISSED", None: "-"}


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder that `hwnas derive` made, or `hwnas train` of a network; a released name; or your own: an "
            "ONNX file, or module:callable."
        ),
    ],
    target: Annotated[list[str], typer.Option(help="Of export/targets/, or a .yaml file; may be given again.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The artifact folder to make.")],
    shape: ShapeOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to check and calibrate with, or `none`; the model's own when absent. For your own model also "
            "an .npz file with an array for each input."
        ),
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="MEAN/STD",
            help="How images become your own model's input, as 0.485,0.456,0.406/0.229,0.224,0.225, which is the "
            "default.",
        ),
    ] = None,
    optimize: Annotated[
        bool, typer.Option("--optimize", help="Keep rewrites of the graph that are faster on this machine.")
    ] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Ship nothing where a target fails.")
    ] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a network for production runtimes, and check that each file does what the network does."""
    from hwnas.flow.export import export as export_model

    with ProgressBars() as progress:
        artifact = export_model(
            model,
            target,
            output,
            shapes=parse_shapes(shape) or None,
            data=data,
            normalize=_parse_normalize(normalize),
            seed=seed,
            optimize=optimize,
            all_or_nothing=all_or_nothing,
            progress=progress,
        )
    files = artifact.manifest.files
    result = {
        "artifact": str(output),
        "files": [name for f in files for name in f.files],
        "reference": artifact.manifest.network.reference,
        "parity": {f.target: f.parity.model_dump() for f in files},
        "precision": {f.target: f.precisions for f in files},
        "latency_ms": {f.target: f.latency.p50_ms if f.latency else None for f in files},
        "optimized": {f.target: f.optimized.plain() for f in files if f.optimized},
        "pointless": [f.target for f in files if f.pointless],
        "notes": {f.target: f.notes for f in files},
        "failed": artifact.failed,
        "evidence": artifact.evidence and str(artifact.evidence),
    }
    for file in (each for each in files if each.pointless):
        say(f"POINTLESS here: {file.target} is slower on this machine than the fp32 it replaces")
    reference = artifact.manifest.network.reference
    lines = [line for file in files for line in _lines(file, reference)]
    lines += [f"FAILED {name}: {reason}" for name, reason in artifact.failed.items()]
    print_result(
        result,
        as_json,
        *lines,
        f"artifact: {output}",
        f"next: {command('bench', output)}, {command('artifact', 'check', output)}",
    )
    if artifact.failed:
        name, reason = next(iter(artifact.failed.items()))
        kept = f"; the evidence is in {artifact.evidence}" if artifact.evidence else ""
        count = len(artifact.failed)
        raise CheckError(
            f"{count} of {count + len(files)} targets failed and aren't in {output}: {name}: {reason}{kept}"
        )


def _parse_normalize(text: str | None) -> Normalize | None:
    """Raises:
    ConfigError: not two lists of numbers.
    """
    if text is None:
        return None
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise ConfigError(f"--normalize {text!r} isn't MEAN/STD, as 0.485,0.456,0.406/0.229,0.224,0.225") from None
    return mean, std


def _lines(file: ExportedFile, reference: str) -> list[str]:
    from hwnas.evaluation.interval import plus_minus

    layers = ", ".join(f"{counted(count, 'layer')} {precision}" for precision, count in file.precisions.items())
    on = "on" if file.parity.top1_agreement is None else f"same class on {file.parity.same_class} of"
    line = (
        f"{file.file}: {file.bytes / 1e6:.2f} MB, {layers}; differs from {reference} by "
        f"{file.parity.max_relative:.1e}, {on} {file.parity.images} {file.parity.inputs}"
    )
    if file.accuracy_before is not None and file.accuracy_after is not None:
        before, after = (plus_minus(each, file.parity.images) for each in (file.accuracy_before, file.accuracy_after))
        line += f"; accuracy {before} before, {after} after"
    line += f"; {file.latency.p50_ms:.3f} ms here" if file.latency else f"; not run here: {file.lacks}"
    if file.latency and file.fp32_ms is not None and file.settings.precision != "fp32":
        line += f", fp32 {file.fp32_ms:.3f} ms"
        line += ": POINTLESS here, slower than what it replaces" if file.pointless else ""
    rewrites = file.optimized.rewrites if file.optimized else ()
    if file.optimized and file.settings.precision == "fp32" and file.latency and file.fp32_ms is not None:
        line += f", {file.fp32_ms:.3f} ms without the rewrites"
    return [line, *(f"  {rewrite}" for rewrite in rewrites), *(f"  {note}" for note in file.notes)]


@app.command("check")
def check(
    artifact: PackedArgument,
    key: KeyOption = None,
    seconds: LimitOption = 300,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold everything in an artifact against its manifest, its network and the network's answers."""
    from hwnas.artifacts.check import check_artifact
    from hwnas.flow.artifact import refuse_missed

    with ProgressBars() as progress:
        found = check_artifact(artifact, key=key, trusted=trust, limit_s=seconds, progress=progress)
    _print_checks(found, as_json)
    refuse_missed(found, artifact)


@app.command("sign")
def sign(
    artifact: PackedArgument,
    key: Annotated[Path, typer.Option("--key", help="Your private key (PEM, Ed25519).")],
    as_json: JsonOption = False,
) -> None:
    """Vouch for an artifact as it is: whoever has your public key can check that nothing was altered since."""
    from hwnas.artifacts.signature import sign_artifact

    public = sign_artifact(artifact, key)
    told = f"signed with key {public[:16]}…: {artifact}; others check it with --key and your public key"
    print_result({"artifact": str(artifact), "public_key": public}, as_json, told)


@app.command("zip")
def zip_(
    artifact: ArtifactArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The zip file to write.")],
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
    key: KeyOption = None,
    seconds: LimitOption = 300,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Unpack an artifact and check it; what misses a check isn't kept."""
    from hwnas.flow.artifact import unzip as unzip_artifact

    with ProgressBars() as progress:
        found = unzip_artifact(archive, output, key=key, trusted=trust, limit_s=seconds, progress=progress)
    _print_checks(found, as_json)


@app.command("triton")
def triton(
    artifact: ArtifactArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model repository to make.")],
    name: Annotated[str | None, typer.Option(help="That models' names begin with; the folder's when absent.")] = None,
    queue_delay_us: Annotated[
        int, typer.Option(min=0, help="How long a request may wait to be batched with others, in microseconds.")
    ] = 100,
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


def _print_checks(found: CheckRecord, as_json: bool) -> None:
    lines = [f"{_WORDS[each.passed]:<6} {each.about}: {each.text}" for each in found.checks]
    print_result(found.plain(), as_json, *lines)
