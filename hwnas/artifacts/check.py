"""Everything in an artifact, held against its manifest, its arch and PyTorch's logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hwnas.artifacts.archive import artifact_folder
from hwnas.artifacts.bundle import ARCH, CARD, LABELS, PREPROCESSING, Artifact, checked_bytes
from hwnas.artifacts.entry import facts_of, taking_images
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.parity import compare, misses, run_session, shortfall
from hwnas.artifacts.predict_script import PREDICT, runnable
from hwnas.artifacts.reference import REFERENCE, read_reference
from hwnas.artifacts.structure import check_structure
from hwnas.errors import HwnasError, ModelError, RuntimeMissingError, first_line
from hwnas.files import read_json
from hwnas.graph.count import count
from hwnas.progress import Progress
from hwnas.records.artifact import MANIFEST, ArtifactRecord, CheckRecord, ExportedFile, Finding, Parity
from hwnas.runtimes.base import Session
from hwnas.space.arch import Arch

_PARTS = (CARD, ARCH, PREPROCESSING, LABELS, REFERENCE)
_SLACK = 1.1
"""Another processor rounds otherwise: this much further from PyTorch than when it was exported is the same."""


class _NotChecked(Exception):  # noqa: N818  (nothing is wrong)
    """Why something couldn't be checked here."""


def check_artifact(path: Path, *, trusted: bool = False, progress: Progress | None = None) -> CheckRecord:
    """Check an artifact, a folder or a zip file; see :func:`hwnas.flow.artifact.check`.

    Raises:
        ModelError: there is no manifest, a malformed one, or an archive that could do harm: nothing can be checked.
    """
    with artifact_folder(path) as folder:
        manifest = ArtifactRecord.read(folder / MANIFEST)
        found = [_finding("manifest", True, f"{manifest.SCHEMA}, written by hwnas {manifest.hwnas}")]
        found += [_tried(name, _hash, folder, name, manifest) for name in sorted(manifest.sha256)]
        found += _folder(folder, manifest)
        altered = {finding.about for finding in found if finding.passed is False}
        found += _arch(Artifact(folder, manifest), altered)
        for index, file in enumerate(manifest.files):
            if progress:
                progress("checking", index, len(manifest.files), file.target)
            if broken := altered.intersection((*file.files, REFERENCE)):
                found.append(_finding(file.target, None, f"not checked: {min(broken)} is altered or missing"))
            else:
                found += _target(Artifact(folder, manifest), file, trusted)
    return CheckRecord(artifact=str(path), passed=all(each.passed is not False for each in found), checks=tuple(found))


def _finding(about: str, passed: bool | None, text: str) -> Finding:
    return Finding(about=about, passed=passed, text=" ".join(text.split()))


def _tried(about: str, check: Callable[..., str], *given: object) -> Finding:
    """``check`` of what is given returns what it found, or raises what it missed."""
    try:
        return _finding(about, True, check(*given))
    except (RuntimeMissingError, _NotChecked) as error:
        return _finding(about, None, f"not checked here: {error}")
    except HwnasError as error:
        return _finding(about, False, str(error))
    except Exception as error:  # a forged model can lead a parser or a runtime to any
        return _finding(about, False, f"can't be read: {first_line(error)}")


def _hash(folder: Path, name: str, manifest: ArtifactRecord) -> str:
    checked_bytes(folder, name, manifest.sha256)
    return f"SHA-256 {manifest.sha256[name][:12]}…"


def _folder(folder: Path, manifest: ArtifactRecord) -> Iterator[Finding]:
    """Nothing too much, nothing too little."""
    for path in sorted(folder.iterdir()):
        if path.name not in (MANIFEST, *manifest.sha256):
            yield _finding(ascii(path.name)[1:-1], False, "isn't listed in the manifest")
    wanted = (*_PARTS, PREDICT) if runnable(manifest.files) else _PARTS
    for name in wanted:
        if name not in manifest.sha256:
            yield _finding(name, False, "is missing; an artifact has one")


def _arch(artifact: Artifact, altered: set[str]) -> Iterator[Finding]:
    yield _tried("arch", _counts, artifact)
    if not altered & {ARCH, LABELS}:
        yield _tried("labels", _labels, artifact)


def _counts(artifact: Artifact) -> str:
    graph, manifest = artifact.graph, artifact.manifest
    counted, chw = count(graph), graph.in_shapes[0]
    if (manifest.madds, manifest.params, manifest.input_chw) != (counted.madds, counted.params, chw):
        raise ModelError(
            f"the arch has {counted.madds:,} multiply-adds, {counted.params:,} parameters and input {chw}, the "
            f"manifest says {manifest.madds:,}, {manifest.params:,} and {manifest.input_chw}"
        )
    return f"{counted.madds:,} multiply-adds, {counted.params:,} parameters"


def _labels(artifact: Artifact) -> str:
    arch = Arch.from_dict(read_json(artifact.path / ARCH, ModelError), ARCH)
    if (arch.space.ref, arch.choices) != (artifact.arch.space.ref, artifact.arch.choices):
        raise ModelError("arch.json isn't the arch of the manifest")
    labels, classes = read_json(artifact.path / LABELS, ModelError), artifact.arch.space.classes
    if labels is None:
        return "the classes have no names"
    if not isinstance(labels, list) or len(labels) != classes or not all(isinstance(name, str) for name in labels):
        raise ModelError(f"labels.json must hold the names of {classes} classes")
    return f"{classes} classes"


def _target(artifact: Artifact, file: ExportedFile, trusted: bool) -> Iterator[Finding]:
    opened: list[Session] = []
    yield _tried(f"{file.target}: structure", _structure, artifact, file)
    yield _tried(f"{file.target}: parity", _parity, artifact, file, trusted, opened)
    yield _tried(f"{file.target}: precision", _precision, artifact, file, next(iter(opened), None))


def _structure(artifact: Artifact, file: ExportedFile) -> str:
    files = artifact.read(file)
    if ".onnx" not in files:
        counted = get_format(file.settings.format).structure(files)
        if counted is None:
            raise _NotChecked(
                f"format {file.settings.format} doesn't tell its layers; its graph's were counted at export"
            )
        if counted.madds != artifact.manifest.madds:
            raise ModelError(f"{counted.madds:,} multiply-adds, the arch has {artifact.manifest.madds:,}")
        return f"the arch's multiply-adds, in {counted.layers} layers with weights"
    facts = facts_of(files[".onnx"])
    if facts != (file.input, file.opset, file.ir_version):
        raise ModelError(
            f"opset {facts.opset}, IR version {facts.ir_version} and input {facts.input}, the manifest says "
            f"{file.opset}, {file.ir_version} and {file.input}"
        )
    check_structure(files[".onnx"], artifact.graph)
    return f"the arch's multiply-adds and weights; opset {facts.opset}, IR version {facts.ir_version}"


def _parity(artifact: Artifact, file: ExportedFile, trusted: bool, opened: list[Session]) -> str:
    data = checked_bytes(artifact.path, REFERENCE, artifact.manifest.sha256)
    reference = read_reference(data, artifact.manifest.input_chw)
    opened.append(artifact.open_as_is(file, trusted=trusted))
    session = taking_images(opened[0], artifact.normalization(file))
    logits = run_session(session, reference.images, file.settings.batch)
    fresh, then = compare(reference.logits, logits, REFERENCE), file.recheck
    missed = misses(fresh, file.settings.tolerance)
    if missed and not _as_near(fresh, then):
        raise ModelError(f"{'; '.join(missed)}; it was {then.max_relative:.1e} when exported")
    return (
        f"differs from PyTorch by {fresh.max_relative:.1e} (when exported {then.max_relative:.1e}), same class on "
        f"{fresh.top1_agreement:.1%} of {fresh.images} inputs"
    )


def _as_near(fresh: Parity, then: Parity) -> bool:
    """Whether a file is as near to PyTorch as when it was exported: what passed then on many inputs passes again."""
    return (
        fresh.max_relative <= _SLACK * then.max_relative
        and 1 - fresh.cosine <= _SLACK * (1 - then.cosine) + 1e-6
        and fresh.top1_agreement >= then.top1_agreement
    )


def _precision(artifact: Artifact, file: ExportedFile, session: Session | None) -> str:
    wanted = file.settings.precision
    here = get_format(file.settings.format).precisions(artifact.read(file), session)
    if not here:
        raise _NotChecked("its precision can't be read without its runtime")
    if missed := shortfall(here, wanted):
        raise ModelError(missed)
    return ", ".join(f"{layers} layers in {name}" for name, layers in here.items())
