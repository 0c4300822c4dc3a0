"""`Artifact`: the folder that a user ships, written whole and read back with every hash checked.

manifest.json          what is here, how it was checked, where it came from; SHA-256 of everything else
README.md              the same for people: the model card
predict.py             the five most likely classes of an image, without hwnas
arch.json              the architecture
space.yaml             its space, where that has no name of its own
preprocessing.json     from an image file to the network's input; null where nobody knows
labels.json            class names in the order of the outputs; null where nobody knows
parity.safetensors     a few inputs and PyTorch's logits of them
<target>.*             the files of each target
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.artifacts.card import card
from hwnas.artifacts.entry import Normalization, normalization_of, taking_images
from hwnas.artifacts.formats.registry import get_format
from hwnas.artifacts.manifest import MANIFEST, ExportedFile, Manifest
from hwnas.artifacts.predict_script import PREDICT
from hwnas.artifacts.reference import REFERENCE
from hwnas.errors import ModelError, SpaceError
from hwnas.files import new_folder, read_json, to_json, validated, write_atomic
from hwnas.graph.graph import Graph
from hwnas.runtimes.base import Session
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

CARD = "README.md"
_SPACE = "space.yaml"
OWN_FILES = (MANIFEST, CARD, PREDICT, "arch.json", _SPACE, "preprocessing.json", "labels.json", REFERENCE)
"""Of every artifact, or of some."""


@dataclass(frozen=True)
class Artifact:
    """An artifact folder and what its manifest says."""

    path: Path
    manifest: Manifest

    @property
    def arch(self) -> Arch:
        """Which arch was exported.

        Raises:
            ModelError: the manifest describes none.
        """
        return arch_in(self.path, self.manifest)

    @property
    def graph(self) -> Graph:
        """The network that was exported.

        Raises:
            ModelError: the manifest describes none.
        """
        arch = self.arch
        space = arch.space.inheriting() if self.manifest.keeps_stabilizers else arch.space
        return space.graph(arch.choices)

    def read(self, file: ExportedFile) -> dict[str, bytes]:
        """{suffix: content} of a target's files, checked against the manifest.

        Raises:
            ModelError: a file is missing or was altered.
        """
        return {
            name.removeprefix(file.target): checked_bytes(self.path, name, self.manifest.sha256) for name in file.files
        }

    def open(self, file: ExportedFile, *, threads: int = 1, trusted: bool = False) -> Session:
        """A session of a target's files on this machine, for normalised images (N, C, H, W).

        Raises:
            ModelError: a file is missing, was altered or can't be loaded.
            RuntimeMissingError: its runtime isn't here, or can't run here.
        """
        return taking_images(self.open_as_is(file, threads=threads, trusted=trusted), self.normalization(file))

    def open_as_is(self, file: ExportedFile, *, threads: int = 1, trusted: bool = False) -> Session:
        """As :meth:`open`, for what the files themselves take, which may be bytes."""
        kind = get_format(file.settings.format)
        return kind.open(self.read(file), file.settings, threads=threads, trusted=trusted)

    def normalization(self, file: ExportedFile) -> Normalization | None:
        """What a target's graph does itself to images of bytes; None where it takes normalised ones.

        Raises:
            ConfigError: the artifact doesn't say how images are normalised.
        """
        found = read_json(self.path / "preprocessing.json", ModelError)
        return normalization_of(file.settings, found if isinstance(found, dict) else None, self.manifest.input_chw[0])


def load_artifact(path: Path) -> Artifact:
    """Read an artifact and check every file's hash.

    Raises:
        ModelError: no manifest, a malformed one, or a file that is missing, altered or leads out of the folder.
    """
    manifest = read_manifest(path)
    for name in manifest.sha256:
        checked_bytes(path, name, manifest.sha256)
    return Artifact(path, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone; no other file is looked at.

    Raises:
        ModelError: there is none, it is malformed, or it has files without a hash.
    """
    path = folder / MANIFEST
    manifest = validated(Manifest, read_json(path, ModelError), path, ModelError)
    if unlisted := [name for f in manifest.files for name in f.files if name not in manifest.sha256]:
        raise ModelError(f"{path}: files has {unlisted[0]!r}, which has no hash")
    return manifest


def checked_bytes(folder: Path, name: str, sha256: Mapping[str, str]) -> bytes:
    """What a file of the folder holds.

    Raises:
        ModelError: it isn't a plain file, can't be read, or isn't the one that was hashed.
    """
    path = folder / name
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ModelError(f"{folder / MANIFEST}: {name!r} isn't a plain file of the folder")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256[name]:
        raise ModelError(f"{path} isn't the file that manifest.json describes: its hash differs; export it again")
    return data


def arch_in(folder: Path, manifest: Manifest) -> Arch:
    """The arch of a manifest; a space without a name of its own lies in the folder.

    Raises:
        ModelError: there is no such arch or space.
    """
    where = folder / MANIFEST
    source = manifest.arch.get("space")
    if isinstance(source, str) and source.endswith((".yaml", ".yml")):
        if source != _SPACE:
            raise ModelError(f"{where}: arch.space: {source!r} isn't a space of the folder; it would be {_SPACE}")
        checked_bytes(folder, _SPACE, manifest.sha256 | {_SPACE: manifest.sha256.get(_SPACE, "")})
        return Arch.from_dict({**manifest.arch, "space": str(folder / _SPACE)}, str(where))
    return Arch.from_dict(manifest.arch, str(where))


def portable_arch(arch: Arch) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An arch as an artifact has it, and the files that belong to it: the space's YAML, where it is one.

    Raises:
        SpaceError: the space's file isn't the one any more that the arch was made of.
    """
    plain, space = arch.to_dict(), arch.space
    if not space.source.endswith((".yaml", ".yml")):
        return plain, {}
    if get_space(space.source, space.resolution, space.classes).fingerprint != space.fingerprint:
        raise SpaceError(f"{space.source} describes another space than the network's; restore it")
    return {**plain, "space": _SPACE}, {_SPACE: Path(space.source).read_bytes()}


def write_artifact(
    output: Path, space: ChainSpace, contents: Mapping[str, bytes], facts: Mapping[str, Any]
) -> Artifact:
    """Write an artifact, whole or not at all, and read it back.

    Args:
        output: folder to make.
        space: of the arch.
        contents: the files, without manifest and model card.
        facts: what the manifest says beside their hashes.

    Raises:
        OutputError: the output exists or can't be written.
        ModelError: the facts aren't those of a manifest.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    manifest = validated(Manifest, {**facts, "sha256": hashes}, output / MANIFEST, ModelError)
    described = card(manifest, space, contents).encode()
    hashes[CARD] = hashlib.sha256(described).hexdigest()
    with new_folder(output) as folder:
        for name, data in {**contents, CARD: described}.items():
            write_atomic(folder / name, data)
        write_atomic(folder / MANIFEST, to_json({**facts, "sha256": hashes}))
    return load_artifact(output)
