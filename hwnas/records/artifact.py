"""`ArtifactRecord`: ``manifest.json``, what an artifact holds, how it was checked, where it came from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, model_validator

from hwnas.record import FileRecord, Fraction, Record, Sha256
from hwnas.records.model import Count, ImageCount, Searched
from hwnas.records.network import NetworkRecord, Tensor
from hwnas.records.optimized import OptimizedRecord
from hwnas.records.target import PlainName, Target
from hwnas.tables.device import Device
from hwnas.tables.table import Latency, Milliseconds

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
"""Of the manifest, beside it; not in every artifact."""


class Closeness(Record):
    """How near an output of a file is to what the network gives.

    Attributes:
        max_abs: largest absolute difference of a number.
        max_relative: the same, over the largest absolute number.
        cosine: least cosine between what both give for an input.
        sqnr_db: see :func:`hwnas.artifacts.parity.sqnr_db`.
    """

    max_abs: NonNegativeFloat
    max_relative: NonNegativeFloat
    cosine: Annotated[float, Field(ge=-1.001, le=1.001)]  # of floats that were rounded
    sqnr_db: float | None

    @model_validator(mode="after")
    def _one_difference(self) -> Closeness:
        if (self.max_abs == 0) != (self.max_relative == 0):
            raise ValueError("max_abs and max_relative are of one difference: both are 0, or neither")
        return self


class Parity(Closeness):
    """How near a file is to its network; of several outputs each figure is the worst one's.

    Attributes:
        outputs: the same of each output, where there are several.
        top1_agreement: share of inputs with the same first class; None where the outputs aren't classes.
        images: how many inputs.
        inputs: where they are from.
    """

    outputs: dict[str, Closeness] = Field(default_factory=dict)
    top1_agreement: Fraction | None
    images: Count
    inputs: str

    @property
    def same_class(self) -> str:
        """In words, as a table has it."""
        return "–" if self.top1_agreement is None else f"{self.top1_agreement:.1%}"


class ExportedFile(Record):
    """What was made for one target.

    Attributes:
        files: names in the folder; the first is the one to load.
        precisions: {precision: layers with weights that compute in it}, read back from the file or its session.
        notes: what a person should know of how it was made, such as what stayed in float and why.
        parity: against the network's reference; of the graph that the file was made of where ``lacks`` says so.
        recheck: the same on the inputs of ``parity.safetensors``, which anybody can check again.
        accuracy_before, accuracy_after: of the network and of the file on the same images; None without labels.
        lacks: why the target's runtime couldn't run where it was exported; None where it did.
        latency: one thread, the target's smallest batch, when it was exported; None where ``lacks`` says why.
        fp32_ms: median of the same format in fp32 and not optimized, timed in the same rounds.
        optimized: which rewrites its graph went through; None where the target asks for none.
        memory_mb: peak of what loading it and one inference add to a process; None where the system doesn't tell.
    """

    target: str
    settings: Target
    files: Annotated[tuple[PlainName, ...], Field(min_length=1)]
    bytes: Count
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    opset: Count
    ir_version: Count
    precisions: dict[str, Count]
    notes: tuple[str, ...]
    parity: Parity
    recheck: Parity
    accuracy_before: Fraction | None
    accuracy_after: Fraction | None
    lacks: str | None
    latency: Latency | None
    fp32_ms: Milliseconds | None
    memory_mb: Annotated[float, Field(ge=0, le=1e7)] | None
    device: Device | None
    optimized: OptimizedRecord | None = None

    @property
    def file(self) -> str:
        """The one to load."""
        return self.files[0]

    @property
    def pointless(self) -> bool:
        """Whether it was slower than the fp32 it replaces."""
        if self.latency is None or self.fp32_ms is None or self.settings.precision == "fp32":
            return False
        return self.latency.p50_ms > self.fp32_ms


class ArtifactRecord(FileRecord):
    """``manifest.json``.

    Attributes:
        network: what was exported, and what its files are held against.
        accuracy_images: on how many images each accuracy was found; older files don't say.
        made_from: names and SHA-256 of what the network came from.
        data: the data set it was trained on; None for random or released weights.
        sha256: of every other file of the folder, by name.
    """

    SCHEMA = "hwnas-artifact/4"
    REMEDY = "export it again"

    hwnas: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    network: NetworkRecord
    accuracy: dict[str, Fraction]
    accuracy_images: dict[str, ImageCount] = Field(default_factory=dict)
    data: str | None
    made_from: dict[str, str]
    searched: Searched | None
    files: Annotated[tuple[ExportedFile, ...], Field(min_length=1)]
    sha256: dict[PlainName, Sha256]

    @model_validator(mode="after")
    def _every_file_is_of_one_target_and_has_a_hash(self) -> ArtifactRecord:
        for file in self.files:
            if file.target != file.settings.name or not all(name.startswith(f"{file.target}.") for name in file.files):
                raise ValueError(
                    f"files has {file.files[0]!r} of target {file.target!r}; a target's are named after it"
                )
        names = [name for file in self.files for name in file.files]
        for kind, each in (("a target", [file.target for file in self.files]), ("a file", names)):
            if len({name.lower() for name in each}) < len(each):
                raise ValueError(f"files has {kind} twice, maybe in other case: {', '.join(each)}")
        if unlisted := [name for name in names if name not in self.sha256]:
            raise ValueError(f"files has {unlisted[0]!r}, which has no hash")
        return self


class SignatureRecord(FileRecord):
    """``signature.json``: who vouches for a manifest, and so for all that it has the hashes of.

    Attributes:
        public_key: of Ed25519 (RFC 8032), 32 bytes in hexadecimal digits.
        signature: of the manifest's bytes by that key, 64 bytes in hexadecimal digits.
    """

    SCHEMA = "hwnas-signature/1"
    REMEDY = "sign it again"

    public_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


class Verdict(Record):
    """What the checks of one file gave; of one that couldn't be made only why.

    Attributes:
        accuracy_before, accuracy_after: of the network and of the file on the same images; None without labels.
    """

    parity: Parity | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    failures: tuple[str, ...]


class FailedExport(FileRecord):
    """``failures.json`` beside the files that weren't shipped: what each target's missed."""

    SCHEMA = "hwnas-failures/1"
    REMEDY = "export again"

    targets: dict[str, Verdict]


class Finding(Record):
    """What one check gave.

    Attributes:
        passed: None where it couldn't be checked here.
        text: what was found, in words, in one line.
    """

    about: str
    passed: bool | None
    text: str


class CheckRecord(Record):
    """What checking an artifact gave; passed where no check was missed."""

    artifact: str
    passed: bool
    checks: tuple[Finding, ...]

    @property
    def missed(self) -> tuple[Finding, ...]:
        """Checks that didn't pass."""
        return tuple(each for each in self.checks if each.passed is False)
