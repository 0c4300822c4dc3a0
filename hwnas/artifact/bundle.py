"""`Artifact`: the folder that a user ships, its manifest, and reading it back with every hash checked.

manifest.json          what is here, how it was checked, where it came from
arch.json              the architecture
preprocessing.json     from an image file to the network's input
labels.json            class names in the order of the outputs
<target>.*             the files of each target
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.artifact.formats.registry import get_format
from hwnas.artifact.target import Target
from hwnas.errors import ModelError
from hwnas.files import read_json, validated
from hwnas.runtimes.base import Session
from hwnas.space.arch import Arch
from hwnas.tables.device import Device
from hwnas.tables.table import Latency

SCHEMA = "hwnas-artifact/2"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParityReport(_Model):
    """See :class:`hwnas.artifact.verify.Parity`."""

    max_abs: float
    max_relative: float
    cosine: float
    sqnr_db: float | None
    top1_agreement: float
    images: int
    inputs: str


class ExportedFile(_Model):
    """What was made for one target.

    Attributes:
        target: its name.
        settings: the whole target.
        files: names in the folder; the first is the one to load.
        bytes: of all of them.
        precisions: {precision: layers with weights that compute in it}, read back from the file or its session.
        parity: against the PyTorch network; of the graph that the file was made of where ``lacks`` says so.
        accuracy_before, accuracy_after: of PyTorch's network and of the file on the same images; None without labels.
        notes: how it came about, for people.
        lacks: why the target's runtime couldn't run where it was exported; None where it did.
        latency: one thread, the target's smallest batch, when it was exported; None where ``lacks`` says why.
        fp32_ms: median of the same format in fp32, timed in the same rounds.
        device: that timed it.
    """

    target: str
    settings: Target
    files: Annotated[list[Annotated[str, Field(pattern=r"^[\w.-]+$")]], Field(min_length=1)]
    bytes: int
    precisions: dict[str, int]
    parity: ParityReport
    accuracy_before: float | None
    accuracy_after: float | None
    notes: list[str]
    lacks: str | None
    latency: Latency | None
    fp32_ms: float | None
    device: Device | None

    @property
    def file(self) -> str:
        """The one to load."""
        return self.files[0]

    @property
    def pointless(self) -> bool:
        """Whether it was slower than the fp32 it replaces."""
        return self.latency is not None and self.fp32_ms is not None and self.latency.p50_ms > self.fp32_ms


class Manifest(_Model):
    """The whole of ``manifest.json``.

    Attributes:
        sha256: of every other file of the folder, by name.
        made_from: names and hashes of what the network came from.
    """

    schema_: Annotated[Literal["hwnas-artifact/2"], Field(alias="schema")]
    hwnas: str
    arch: dict[str, Any]
    input_chw: tuple[int, int, int]
    madds: int
    params: int
    accuracy: dict[str, float]
    data: str | None
    stabilizers: dict[str, str]
    made_from: dict[str, str]
    files: list[ExportedFile]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """An artifact folder and what its manifest says."""

    path: Path
    manifest: Manifest

    @property
    def arch(self) -> Arch:
        """Which arch was exported."""
        return Arch.from_dict(self.manifest.arch, str(self.path / "manifest.json"))

    def read(self, file: ExportedFile) -> dict[str, bytes]:
        """{suffix: content} of a target's files, checked against the manifest.

        Raises:
            ModelError: a file is missing or was altered.
        """
        return {
            name.removeprefix(file.target): _checked_bytes(self.path, name, self.manifest.sha256) for name in file.files
        }

    def open(self, file: ExportedFile, *, threads: int = 1, trusted: bool = False) -> Session:
        """A session of a target's files on this machine.

        Raises:
            ModelError: a file is missing, was altered or can't be loaded.
            RuntimeMissingError: its runtime isn't here, or can't run here.
        """
        return get_format(file.settings.format).open(self.read(file), file.settings, threads=threads, trusted=trusted)


def load_artifact(path: Path) -> Artifact:
    """Read an artifact and check every file's hash.

    Raises:
        ModelError: no manifest, a malformed one, or a file that is missing, altered or leads out of the folder.
    """
    manifest_path = path / "manifest.json"
    manifest = validated(Manifest, read_json(manifest_path, ModelError), manifest_path, ModelError)
    for name in manifest.sha256:
        _checked_bytes(path, name, manifest.sha256)
    if unlisted := [name for f in manifest.files for name in f.files if name not in manifest.sha256]:
        raise ModelError(f"{manifest_path}: files has {unlisted[0]!r}, which has no hash")
    return Artifact(path, manifest)


def _checked_bytes(folder: Path, name: str, sha256: dict[str, str]) -> bytes:
    path = folder / name
    if Path(name).name != name or path.is_symlink():
        raise ModelError(f"{folder / 'manifest.json'}: {name!r} isn't a plain file of the folder")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256[name]:
        raise ModelError(f"{path} isn't the file that manifest.json describes: its hash differs; export it again")
    return data
