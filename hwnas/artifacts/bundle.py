"""`Artifact`: the folder that a user ships, written whole and read back with every hash checked.

manifest.json          what is here, how it was checked, where it came from; SHA-256 of everything else
README.md              the same for people: the model card
predict.py             the five most likely classes of an image, without hwnas; where it gives these
arch.json              the architecture, and its space, where that has no name of its own; not of somebody's file
preprocessing.json     from an image file to the network's input; null where nobody knows
labels.json            class names in the order of the outputs; null where nobody knows
parity.safetensors     a few inputs and what the network makes of them
signature.json         who vouches for the manifest, and so for everything; where somebody does
<target>.*             the files of each target
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.arguments import checked
from hwnas.artifacts.card import card
from hwnas.artifacts.entry import Normalization, taking_images
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.origin import ARCH, tell_what
from hwnas.artifacts.predict_script import PREDICT, predict_script
from hwnas.artifacts.reference import REFERENCE
from hwnas.brief import Brief
from hwnas.errors import ModelError
from hwnas.files import new_folder, no_folder, read_bytes, read_json, to_json, validated, write_atomic
from hwnas.graph.graph import Graph
from hwnas.records.artifact import MANIFEST, SIGNATURE, ArtifactRecord, ExportedFile
from hwnas.records.model import Preprocessing
from hwnas.records.network import OfArch
from hwnas.runtimes.base import Session
from hwnas.space.arch import Arch

CARD = "README.md"
PREPROCESSING, LABELS = "preprocessing.json", "labels.json"
OWN_FILES = (MANIFEST, SIGNATURE, CARD, PREDICT, ARCH, PREPROCESSING, LABELS, REFERENCE)
"""Of every artifact, or of some."""
_OTHERS = {
    "failures.json": "what a failed export left; failures.json in it says what each target missed",
    "model.json": "a network; make an artifact of it first: hwnas export",
    "search.json": "a search; make its winner a network first: hwnas derive",
    "settings.json": "a search that isn't finished; go on with hwnas search --resume",
    "supernet.json": "the run of a supernet; search it first: hwnas search",
}
"""What a folder is that holds such a file and no manifest."""


@dataclass(frozen=True, repr=False)
class Artifact(Brief):
    """An artifact folder and what its manifest says."""

    path: Path
    manifest: ArtifactRecord

    @property
    def arch(self) -> Arch:
        """What was exported.

        Raises:
            ArchError, SpaceError: the manifest describes no arch.
            ModelError: it is of somebody's file.
        """
        return self.of_arch.arch

    @property
    def graph(self) -> Graph:
        """The network of :attr:`arch`, kept stabilizers included; raises as that."""
        return self.of_arch.graph

    @property
    def of_arch(self) -> OfArch:
        """What was exported, of an artifact of an arch.

        Raises:
            ModelError: it is of somebody's file.
        """
        network = self.manifest.network
        if not isinstance(network, OfArch):
            raise ModelError(f"{self.path} is of the file {network.name}, and of no arch")
        return network

    @property
    def preprocessing(self) -> Preprocessing | None:
        """From an image file to the network's input; None where nobody knows.

        Raises:
            ModelError: the file can't be read, or says something else.
        """
        path = self.path / PREPROCESSING
        found = read_json(path, ModelError)
        return None if found is None else validated(Preprocessing, found, path, ModelError)

    @property
    def labels(self) -> list[str] | None:
        """The classes' names in the order of the outputs; None where nobody knows.

        Raises:
            ModelError: the file can't be read, or doesn't name so many classes.
        """
        labels, classes = read_json(self.path / LABELS, ModelError), self.manifest.network.classes
        if labels is None:
            return None
        if not isinstance(labels, list) or len(labels) != classes or not all(isinstance(name, str) for name in labels):
            raise ModelError(f"labels.json must hold the names of {classes} classes")
        return labels

    def read(self, file: ExportedFile) -> dict[str, bytes]:
        """{suffix: content} of a target's files; see :func:`checked_bytes`."""
        return {
            name.removeprefix(file.target): checked_bytes(self.path, name, self.manifest.sha256) for name in file.files
        }

    def open(self, file: ExportedFile, *, threads: int = 1, trusted: bool = False) -> Session:
        """A session of a target's files on this machine, for what the network takes: images normalised.

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
            ConfigError, ModelError: the artifact doesn't say how images are normalised.
        """
        image_chw = self.manifest.network.image_chw
        if file.settings.preprocessing == "outside":
            return None
        if image_chw is None:
            raise ModelError(f"{file.target} has the preprocessing of images inside, and its network takes none")
        return Normalization.of(self.preprocessing, image_chw[0])


@checked
def load_artifact(path: Path | str) -> Artifact:
    """Read an artifact and check every file's hash.

    Raises:
        ModelError: no manifest, a malformed one, or a file that is missing, altered or leads out of the folder.
    """
    path = Path(path)
    manifest = read_manifest(path)
    for name in manifest.sha256:
        checked_bytes(path, name, manifest.sha256)
    return Artifact(path, manifest)


def read_manifest(folder: Path) -> ArtifactRecord:
    """What an artifact says of itself; nothing is held against it yet.

    Raises:
        ModelError: there is none, and what the folder is instead, if that is known; or it is malformed.
    """
    if folder.is_dir() and not (folder / MANIFEST).exists():
        otherwise = f"it has no {MANIFEST}; give a folder that hwnas export made"
        told = next((f"it is {what}" for name, what in _OTHERS.items() if (folder / name).exists()), otherwise)
        raise ModelError(f"{folder} isn't an artifact: {told}")
    if not os.path.exists(folder):
        raise ModelError(no_folder(folder, "give one that hwnas export made"))
    return ArtifactRecord.read(folder / MANIFEST)


def checked_bytes(folder: Path, name: str, sha256: Mapping[str, str]) -> bytes:
    """What a file of the folder holds.

    Raises:
        ModelError: it isn't a plain file, can't be read, or isn't the one that was hashed.
    """
    path = folder / name
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ModelError(f"{folder / MANIFEST}: {name!r} isn't a plain file of the folder")
    data = read_bytes(path, ModelError)
    if hashlib.sha256(data).hexdigest() != sha256[name]:
        raise ModelError(f"{path} isn't the file that manifest.json describes: its hash differs; export it again")
    return data


def rendered(
    manifest: ArtifactRecord, preprocessing: Preprocessing | None, labels: Sequence[str] | None
) -> dict[str, bytes]:
    """{name: content} of the files that follow from the rest; of the manifest's hashes they tell nothing."""
    script = predict_script(manifest.network, manifest.files, preprocessing)
    return {
        **tell_what(manifest.network),
        PREPROCESSING: to_json(preprocessing and preprocessing.plain()).encode(),
        LABELS: to_json(labels).encode(),
        CARD: card(manifest, preprocessing, labels).encode(),
        **({PREDICT: script} if script else {}),
    }


def write_artifact(output: Path, manifest: ArtifactRecord, contents: Mapping[str, bytes]) -> Artifact:
    """Write an artifact of ``contents``, whole or not at all, their hashes in the manifest, and read it back.

    Raises:
        OutputError: the output exists or can't be written.
    """
    with new_folder(output) as folder:
        for name, data in contents.items():
            write_atomic(folder / name, data)
        manifest.model_copy(update={"sha256": hashes(contents)}).write(folder / MANIFEST)
    return load_artifact(output)


def hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    """{file name: SHA-256}."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
