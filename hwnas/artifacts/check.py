"""Everything in an artifact, held against its manifest, its network and the network's answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hwnas.artifacts.archive import artifact_folder
from hwnas.artifacts.bundle import CARD, LABELS, PREPROCESSING, Artifact, checked_bytes, read_manifest, rendered
from hwnas.artifacts.check_file import LIMIT_S, NotCheckedError, check_files, finding, tried
from hwnas.artifacts.origin import ARCH, check_counts, own_files, tell_what
from hwnas.artifacts.predict_script import PREDICT, predicts
from hwnas.artifacts.reference import REFERENCE, normalization_of, read_reference
from hwnas.artifacts.signature import check_signature, read_public_key
from hwnas.errors import ModelError
from hwnas.files import read_json
from hwnas.parse import parse_json
from hwnas.progress import Progress
from hwnas.records.artifact import MANIFEST, SIGNATURE, ArtifactRecord, CheckRecord, Finding
from hwnas.version import __version__

_PARTS = (CARD, PREPROCESSING, LABELS, REFERENCE)


def check_artifact(
    path: Path,
    *,
    key: Path | None = None,
    trusted: bool = False,
    limit_s: int = LIMIT_S,
    progress: Progress | None = None,
) -> CheckRecord:
    """Check an artifact, a folder or a zip file.

    Args:
        path: of the folder or the zip file.
        key: a public key's file; that its owner signed the artifact is checked then.
        trusted: whether engines that nothing vouches for may be loaded.
        limit_s: seconds that a file may take; it is loaded and run in a process of its own.
        progress: called with (what, done, total, note).

    Raises:
        ModelError: there is no manifest, a malformed one, or an archive that could do harm: nothing can be checked.
        ConfigError: the key isn't one.
        RuntimeMissingError: a key is given, and what checks signatures isn't installed.
    """
    public = read_public_key(key) if key else None
    with artifact_folder(path) as folder:
        manifest = read_manifest(folder)
        artifact = Artifact(folder, manifest)
        found = [finding("manifest", True, f"{manifest.SCHEMA}, written by hwnas {manifest.hwnas}")]
        signed = []
        if public or os.path.lexists(folder / SIGNATURE):
            signed = [tried("signature", check_signature, folder, public)]
        found += signed
        found += [tried(name, _hash, folder, name, manifest) for name in sorted(manifest.sha256)]
        altered = {each.about for each in found if each.passed is False}
        found += _folder(folder, manifest)
        kind = manifest.network.kind
        found.append(tried(kind, check_counts, manifest.network))
        for about, check, needs in (
            ("labels", _labels, {ARCH, LABELS}),
            ("preprocessing", _preprocessing, {PREPROCESSING, REFERENCE}),
            ("contents", _contents, {CARD, PREDICT, ARCH, PREPROCESSING, LABELS, kind, "labels", "preprocessing"}),
        ):
            if not needs & {each.about for each in found if each.passed is False}:
                found.append(tried(about, check, artifact))
        whole = []
        for file in manifest.files:
            if signed and signed[0].passed is False:
                found.append(finding(file.target, None, "not run: see signature"))
            elif broken := altered.intersection((*file.files, REFERENCE)):
                found.append(finding(file.target, None, f"not checked: {min(broken)} is altered or missing"))
            else:
                whole.append(file)
        for index, findings in enumerate(check_files(artifact, whole, trusted, limit_s)):
            found += findings
            if progress:
                progress("checking", index + 1, len(whole), whole[index].target)
    return CheckRecord(artifact=str(path), passed=all(each.passed is not False for each in found), checks=tuple(found))


def _hash(folder: Path, name: str, manifest: ArtifactRecord) -> str:
    checked_bytes(folder, name, manifest.sha256)
    return f"SHA-256 {manifest.sha256[name][:12]}…"


def _folder(folder: Path, manifest: ArtifactRecord) -> Iterator[Finding]:
    """Nothing too much, nothing too little."""
    for path in sorted(folder.iterdir()):
        if path.name not in (MANIFEST, SIGNATURE, *manifest.sha256):
            yield finding(ascii(path.name)[1:-1], False, "isn't listed in the manifest")
    parts = {*_PARTS, *own_files(manifest.network)}
    if predicts(manifest.network, manifest.files):
        parts.add(PREDICT)
    for name in sorted(parts):
        if name not in manifest.sha256:
            yield finding(name, False, "is missing; an artifact has one")
    for name in manifest.sha256.keys() - {*parts, *(name for file in manifest.files for name in file.files)}:
        yield finding(name, False, "is listed in the manifest, and no target has it")


def _labels(artifact: Artifact) -> str:
    network = artifact.manifest.network
    for name, content in tell_what(network).items():
        if read_json(artifact.path / name, ModelError) != parse_json(content, name, ModelError):
            raise ModelError(f"{name} isn't the {network.kind} of the manifest")
    return "the classes have no names" if artifact.labels is None else f"{len(artifact.labels)} classes"


def _preprocessing(artifact: Artifact) -> str:
    how, network = artifact.preprocessing, artifact.manifest.network
    data = checked_bytes(artifact.path, REFERENCE, artifact.manifest.sha256)
    reference = read_reference(data, network).normalization
    if reference is None or network.image_chw is None:
        if how is None:
            return "there is none: what goes in are numbers"
        raise ModelError(f"{PREPROCESSING} is of images, and {REFERENCE} has none")
    channels, height, width = network.image_chw
    if normalization_of(how, channels) != reference:
        raise ModelError(f"{PREPROCESSING} doesn't have mean and std of the images in {REFERENCE}")
    if how is None:
        return "nobody knows"
    if {how.resolution} != {height, width} or how.resize_px < how.resolution or how.range != (0, 1):
        raise ModelError(f"{PREPROCESSING} doesn't lead to what the network takes: {how.plain()}")
    return f"mean and std are those of the images in {REFERENCE}"


def _contents(artifact: Artifact) -> str:
    written_by = artifact.manifest.hwnas
    if written_by != __version__:
        raise NotCheckedError(
            f"{CARD} and {PREDICT} are by hwnas {written_by}, and this is {__version__}, which may write them "
            f"otherwise; check with that, or read {PREDICT} before you run it"
        )
    anew = rendered(artifact.manifest, artifact.preprocessing, artifact.labels)
    for name, content in anew.items():
        if checked_bytes(artifact.path, name, artifact.manifest.sha256) != content:
            raise ModelError(f"{name} isn't what the manifest's facts give when it is written anew")
    return f"{', '.join(anew)} are what the manifest's facts give when they are written anew"
