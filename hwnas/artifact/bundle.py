"""`Artifact`: the folder that a user ships, its manifest, and reading it back with every hash checked.

manifest.json          what is here, how it was checked, where it came from
arch.json              the architecture
preprocessing.json     from an image file to the network's input
labels.json            class names in the order of the outputs
<target>.onnx          one file per target
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.errors import ModelError
from hwnas.files import read_json, validated
from hwnas.space.arch import Arch
from hwnas.tables.device import Device
from hwnas.tables.table import Latency

SCHEMA = "hwnas-artifact/1"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParityReport(_Model):
    """See :class:`hwnas.artifact.verify.Parity`."""

    max_abs: float
    max_relative: float
    top1_agreement: float
    images: int
    inputs: str


class ExportedFile(_Model):
    """One target's file.

    Attributes:
        target: name of the target.
        file: name in the folder.
        bytes: its size.
        precision: of weights and arithmetic, read back from the file.
        opset, ir_version: of the ONNX model.
        parity: against the PyTorch network.
        runtime: that checked and timed it.
        latency, device: batch 1, one thread, when it was exported.
    """

    target: str
    file: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    bytes: int
    precision: str
    opset: int
    ir_version: int
    parity: ParityReport
    runtime: str
    latency: Latency
    device: Device


class Manifest(_Model):
    """The whole of ``manifest.json``.

    Attributes:
        sha256: of every other file of the folder, by name.
        made_from: names and hashes of what the network came from.
    """

    schema_: Annotated[Literal["hwnas-artifact/1"], Field(alias="schema")]
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

    def read(self, file: ExportedFile) -> bytes:
        """A model file's bytes, checked against the manifest.

        Raises:
            ModelError: the file is missing or was altered.
        """
        return _checked_bytes(self.path, file.file, self.manifest.sha256)


def load_artifact(path: Path) -> Artifact:
    """Read an artifact and check every file's hash.

    Raises:
        ModelError: no manifest, a malformed one, or a file that is missing, altered or leads out of the folder.
    """
    manifest_path = path / "manifest.json"
    manifest = validated(Manifest, read_json(manifest_path, ModelError), manifest_path, ModelError)
    for name in manifest.sha256:
        _checked_bytes(path, name, manifest.sha256)
    if unlisted := [f.file for f in manifest.files if f.file not in manifest.sha256]:
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
