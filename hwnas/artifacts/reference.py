"""A few inputs and PyTorch's logits of them, shipped with an artifact: whoever has it can check parity again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hwnas.arrays import Images, Pixels
from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.parity import Logits, logits_of
from hwnas.errors import ModelError
from hwnas.records.model import Preprocessing

if TYPE_CHECKING:
    from hwnas.nn.network import Network

REFERENCE = "parity.safetensors"

_INPUTS = 8


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Inputs and what PyTorch makes of them.

    Attributes:
        pixels: uint8 (N, H, W, C).
        normalization: from these to what the network takes.
        logits: float32 (N, classes).
    """

    pixels: Pixels
    normalization: Normalization
    logits: Logits

    @property
    def images(self) -> Images:
        """As the network takes them, float32 (N, C, H, W)."""
        return self.normalization.images(self.pixels)

    def packed(self) -> bytes:
        """The file that holds it."""
        mean, std = np.array(self.normalization.mean), np.array(self.normalization.std)
        return save({"pixels": self.pixels, "mean": mean, "std": std, "logits": self.logits})


def normalization_of(preprocessing: Preprocessing | None, channels: int) -> Normalization:
    """Of the inputs; where nobody knows, as of a network with random weights.

    Raises:
        ConfigError: the preprocessing has no mean and deviation for each channel.
    """
    if preprocessing is None:
        return Normalization((0.5,) * channels, (0.25,) * channels)
    return Normalization.of(preprocessing, channels)


def reference_of(network: Network, images: Images, preprocessing: Preprocessing | None) -> Reference:
    """A few of ``images`` (N, C, H, W), float32, rounded to whole pixels.

    Raises:
        ConfigError: the preprocessing has no mean and deviation for each channel.
    """
    normalization = normalization_of(preprocessing, images.shape[1])
    pixels = normalization.pixels(images[:: max(len(images) // _INPUTS, 1)][:_INPUTS])
    logits = logits_of(network, normalization.images(pixels))
    return Reference(pixels=pixels, normalization=normalization, logits=logits)


def read_reference(data: bytes, input_chw: tuple[int, ...]) -> Reference:
    """What :meth:`Reference.packed` gave.

    Raises:
        ModelError: another file, or of another network's input.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{REFERENCE} isn't a safetensors file: {' '.join(str(error).split())}") from None
    channels, height, width = input_chw
    pixels, logits, mean, std = (tensors.get(name, np.empty(0)) for name in ("pixels", "logits", "mean", "std"))
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (height, width, channels) or not len(pixels):
        raise ModelError(f"{REFERENCE}: pixels must be uint8 (N, {height}, {width}, {channels})")
    if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != len(pixels):
        raise ModelError(f"{REFERENCE}: logits must be float32 ({len(pixels)}, classes)")
    if {mean.shape, std.shape} != {(channels,)} or not np.isfinite([mean, std]).all():
        raise ModelError(f"{REFERENCE} must have mean and std of its {channels} channels")
    if not (std > 0).all():
        raise ModelError(f"{REFERENCE}: images are divided by std {std.tolist()}; it must be above 0")
    normalization = Normalization(tuple(map(float, mean)), tuple(map(float, std)))
    return Reference(pixels=pixels, normalization=normalization, logits=logits)
