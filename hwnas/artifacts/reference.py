"""A few inputs and PyTorch's logits of them, shipped with an artifact: whoever has it can check parity again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hwnas.arrays import Images
from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.parity import Logits, logits_of
from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.records.model import Preprocessing

REFERENCE = "parity.safetensors"

_INPUTS = 8


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Inputs and what PyTorch makes of them.

    Attributes:
        pixels: uint8 (N, H, W, C).
        images: the same as the network takes them, float32 (N, C, H, W).
        logits: float32 (N, classes).
    """

    pixels: npt.NDArray[np.uint8]
    images: Images
    logits: Logits


def reference_of(network: Network, images: Images, preprocessing: Preprocessing | None) -> tuple[Reference, bytes]:
    """A few of ``images`` (N, C, H, W), float32, rounded to whole pixels, and the file that holds them.

    Raises:
        ConfigError: the preprocessing has no mean and deviation for each channel.
    """
    channels = images.shape[1]
    unknown = Normalization((0.5,) * channels, (0.25,) * channels)  # as of a network with random weights
    normalization = Normalization.of(preprocessing, channels) if preprocessing else unknown
    pixels = normalization.pixels(images[:: max(len(images) // _INPUTS, 1)][:_INPUTS])
    inputs = normalization.images(pixels)
    found = Reference(pixels=pixels, images=inputs, logits=logits_of(network, inputs))
    tensors = {"pixels": pixels, "mean": np.array(normalization.mean), "std": np.array(normalization.std)}
    return found, save({**tensors, "logits": found.logits})


def read_reference(data: bytes, input_chw: tuple[int, ...]) -> Reference:
    """What :func:`reference_of` wrote.

    Raises:
        ModelError: another file, or of another network's input.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{REFERENCE} isn't a safetensors file: {' '.join(str(error).split())}") from None
    channels, height, width = input_chw
    pixels, logits = tensors.get("pixels"), tensors.get("logits")
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != (height, width, channels) or not len(pixels):
        raise ModelError(f"{REFERENCE}: pixels must be uint8 (N, {height}, {width}, {channels})")
    if logits is None or logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != len(pixels):
        raise ModelError(f"{REFERENCE}: logits must be float32 ({len(pixels)}, classes)")
    mean, std = (tensors.get(name) for name in ("mean", "std"))
    for values in (mean, std):
        if values is None or values.shape != (channels,) or not np.isfinite(values).all():
            raise ModelError(f"{REFERENCE} must have mean and std of its {channels} channels")
    assert mean is not None
    assert std is not None
    if not (std > 0).all():
        raise ModelError(f"{REFERENCE}: images are divided by std {std.tolist()}; it must be above 0")
    normalization = Normalization(tuple(map(float, mean)), tuple(map(float, std)))
    return Reference(pixels=pixels, images=normalization.images(pixels), logits=logits)
