"""``manifest.json``: what an artifact holds, how it was checked, where it came from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.artifacts.target import PlainName, Target
from hwnas.nn.origin import Searched
from hwnas.tables.device import Device
from hwnas.tables.table import Latency

SCHEMA = "hwnas-artifact/2"
MANIFEST = "manifest.json"

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, le=2**60)]
_Pixels = Annotated[int, Field(ge=1, le=2**16)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ParityReport(_Model):
    """See :class:`hwnas.artifacts.verify.Parity`."""

    max_abs: float
    max_relative: float
    cosine: float
    sqnr_db: float | None
    top1_agreement: _Share
    images: _Count
    inputs: str


class InputReport(_Model):
    """The one input of a model file.

    Attributes:
        name: in the graph.
        type: of its elements; uint8 where the preprocessing is part of the graph.
        layout: of its axes.
    """

    name: str
    type: Literal["float32", "float16", "uint8"]
    layout: Literal["NCHW", "NHWC"]


class ExportedFile(_Model):
    """What was made for one target.

    Attributes:
        target: its name.
        settings: the whole target.
        files: names in the folder; the first is the one to load.
        bytes: of all of them.
        input: what it takes.
        opset, ir_version: of the ONNX graph that it is, or was made of.
        precisions: {precision: layers with weights that compute in it}, read back from the file or its session.
        notes: what a person should know of how it was made, such as what stayed in float and why.
        parity: against the PyTorch network; of the graph that the file was made of where ``lacks`` says so.
        recheck: the same on the inputs of ``parity.safetensors``, which anybody can check again.
        accuracy_before, accuracy_after: of PyTorch's network and of the file on the same images; None without labels.
        lacks: why the target's runtime couldn't run where it was exported; None where it did.
        latency: one thread, the target's smallest batch, when it was exported; None where ``lacks`` says why.
        fp32_ms: median of the same format in fp32, timed in the same rounds.
        memory_mb: peak of what loading it and one inference add to a process; None where the system doesn't tell.
        device: that timed it.
    """

    target: str
    settings: Target
    files: Annotated[list[PlainName], Field(min_length=1)]
    bytes: _Count
    input: InputReport
    opset: _Count
    ir_version: _Count
    precisions: dict[str, _Count]
    notes: tuple[str, ...]
    parity: ParityReport
    recheck: ParityReport
    accuracy_before: _Share | None
    accuracy_after: _Share | None
    lacks: str | None
    latency: Latency | None
    fp32_ms: float | None
    memory_mb: float | None
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
        hwnas: version that wrote it.
        input_chw: channels, and height and width in pixels.
        madds, params: of the arch, BN's scale and shift included.
        accuracy: of the network, by name.
        data: the data set it was trained on; None for random or released weights.
        stabilizers: what became of each run of skips, by its first layer.
        made_from: names and SHA-256 of what the network came from.
        searched: what the search that found it asked for and predicted.
        sha256: of every other file of the folder, by name.
    """

    schema_: Annotated[Literal["hwnas-artifact/2"], Field(alias="schema")]
    hwnas: str
    arch: dict[str, Any]
    input_chw: tuple[_Pixels, _Pixels, _Pixels]
    madds: _Count
    params: _Count
    accuracy: dict[str, _Share]
    data: str | None
    stabilizers: dict[str, str]
    made_from: dict[str, str]
    searched: Searched | None
    files: list[ExportedFile]
    sha256: dict[PlainName, _Sha256]

    @property
    def keeps_stabilizers(self) -> bool:
        """Whether the network has stabilizers that couldn't be folded."""
        return any("kept" in note for note in self.stabilizers.values())
