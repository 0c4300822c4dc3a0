"""`ModelRecord`: ``model.json``, one network beside its weights; and what travels from it to an artifact."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from hwnas.record import FileRecord, Fraction, Record, Sha256
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space

Count = Annotated[int, Field(ge=0, le=2**60)]
ImageCount = Annotated[int, Field(ge=1, le=2**60)]
Pixels = Annotated[int, Field(ge=1, le=2**16)]


class Preprocessing(Record):
    """From an image file to a network's input.

    Attributes:
        resolution: height and width of the input in pixels.
        resize: what is done to an image before its centre is taken, in words.
        resize_px: what its shorter side is resized to.
        decoding: what is done to a file before that, in words; None where it was prepared by an older version.
        range: of pixels before they are normalised.
        mean, std: per channel, of pixels in that range.
    """

    resolution: Pixels
    resize: str
    resize_px: Pixels
    channel_order: Literal["RGB"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]
    decoding: str | None = None


class OnDevice(Record):
    """What a search knew of the network's latency on one device.

    Attributes:
        device: that it was measured on; None where the table isn't at hand any more.
        budget_ms: that the search kept to.
        low_ms, high_ms: the interval that holds 90 % of networks.
        measured_ms: after the search, in the table's terms.
    """

    table: str
    device: str | None
    budget_ms: PositiveFloat | None
    predicted_ms: PositiveFloat
    low_ms: NonNegativeFloat | None
    high_ms: PositiveFloat | None
    measured_ms: PositiveFloat | None

    @model_validator(mode="after")
    def _ordered(self) -> OnDevice:
        low_ms, high_ms = self.low_ms, self.high_ms
        if (low_ms is None) != (high_ms is None):
            raise ValueError("low_ms and high_ms go together")
        if low_ms is not None and high_ms is not None and not low_ms <= self.predicted_ms <= high_ms:
            raise ValueError(f"low ≤ predicted ≤ high doesn't hold: {low_ms}, {self.predicted_ms}, {high_ms}")
        return self


class Searched(Record):
    """The search that found a network; ``devices`` are in the order of its tables."""

    strategy: str
    evaluations: NonNegativeInt
    seed: NonNegativeInt
    devices: tuple[OnDevice, ...]


class ResolvedStabilizers(Record):
    """What became of a run of stabilizers, multiplied together.

    Attributes:
        layer: the first of the run.
        place: where their product is now.
        kept: whether it is a layer of its own there, since there is a residual on both sides; else it is folded in.
    """

    layer: NonNegativeInt
    place: str
    kept: bool

    def __str__(self) -> str:
        return f"kept as {self.place}: a residual on both sides" if self.kept else f"folded into {self.place}"


class ModelInfo(Record):
    """What is known of a network beside its weights.

    Attributes:
        data: the data set it was trained on, as ``hwnas train`` names it; None for random or released weights.
        labels: class names in the order of the outputs.
        preprocessing: from an image file to the network's input.
        accuracy: by name, such as ``test``; in [0, 1].
        accuracy_images: on how many images each was found; older files don't say.
        parity: largest difference of a logit to that of the supernet's path, relative; None without a supernet.
        made_from: names and SHA-256 of what it came from.
        searched: what the search that found it asked for and predicted.
        weights_sha256: of the weights, where they were read from a MODEL folder.
        corrupt_images: what its training did with images that can't be decoded; what reads its data does as well.
    """

    data: str | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    accuracy: dict[str, Fraction] = Field(default_factory=dict)
    accuracy_images: dict[str, ImageCount] = Field(default_factory=dict)
    parity: NonNegativeFloat | None = None
    made_from: dict[str, str] = Field(default_factory=dict)
    searched: Searched | None = None
    weights_sha256: Sha256 | None = None
    corrupt_images: Literal["fail", "skip"] = "fail"

    @classmethod
    def of_random(cls, seed: int) -> ModelInfo:
        """Of a network whose weights are random: for timing."""
        return cls(made_from={"weights": f"random, seed {seed}"})


class SizedArch(Record):
    """An arch, what became of each run of its stabilizers, and how large the network is (BN's scale and shift too)."""

    space: SpaceRef
    choices: tuple[int, ...]
    stabilizers: tuple[ResolvedStabilizers, ...]
    madds: Count
    params: Count

    @property
    def keeps_stabilizers(self) -> bool:
        """Whether the network has stabilizers that couldn't be folded."""
        return any(each.kept for each in self.stabilizers)

    def space_of_network(self) -> ChainSpace:
        """The space whose graph of these choices is the network.

        Raises:
            SpaceError: it can't be made any more.
        """
        space = get_space(self.space)
        return space.inheriting() if self.keeps_stabilizers else space


class ModelRecord(FileRecord, SizedArch):
    """``model.json``; ``weights_sha256`` ties the weights to it."""

    SCHEMA = "hwnas-model/2"
    REMEDY = "derive or train it again"

    info: ModelInfo
    weights_sha256: Sha256
