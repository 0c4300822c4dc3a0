"""A few inputs and PyTorch's logits of them, shipped with an artifact: whoever has it can check parity again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hwnas.artifact.verify import Logits, logits_of
from hwnas.errors import ModelError
from hwnas.files import validated
from hwnas.nn.derive import Network
from hwnas.runtimes.base import Images

REFERENCE = "parity.safetensors"

_INPUTS = 8


class Normalization(BaseModel):
    """Pixels in [0, 1] -> a network's input: minus ``mean``, over ``std``, per channel.

    The defaults are for networks of which nobody knows it, such as those with random weights.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)  # preprocessing says more than this

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (0.25, 0.25, 0.25)

    def images(self, pixels_NHWC: npt.NDArray[np.uint8]) -> Images:
        """uint8 (N, H, W, C) -> float32 (N, C, H, W), to the bit what ``Data.normalize`` gives."""
        mean, std = (np.array(value, np.float32) for value in (self.mean, self.std))
        scaled = pixels_NHWC.astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(((scaled - mean) / std).transpose(0, 3, 1, 2))

    def pixels(self, images: Images) -> npt.NDArray[np.uint8]:
        """The nearest pixels: float32 (N, C, H, W) -> uint8 (N, H, W, C)."""
        scaled = images.transpose(0, 2, 3, 1) * np.array(self.std, np.float32) + np.array(self.mean, np.float32)
        return np.ascontiguousarray(np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8))


def known_normalization(preprocessing: Mapping[str, Any] | None, channels: int) -> Normalization:
    """What ``preprocessing.json`` says of it.

    Raises:
        ModelError: mean or deviation aren't numbers, one for each channel.
    """
    found = validated(Normalization, dict(preprocessing or {}), "preprocessing", ModelError)
    if {len(found.mean), len(found.std)} != {channels}:
        raise ModelError(f"preprocessing: mean and std must have {channels} values, one for each channel")
    return found


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


def reference_of(network: Network, images: Images, preprocessing: Mapping[str, Any] | None) -> tuple[Reference, bytes]:
    """A few of ``images`` (N, C, H, W), float32, rounded to whole pixels, and the file that holds them.

    Raises:
        ModelError: the preprocessing has no such mean and deviation.
    """
    normalization = known_normalization(preprocessing, images.shape[1])
    pixels = normalization.pixels(images[:: max(len(images) // _INPUTS, 1)][:_INPUTS])
    inputs = normalization.images(pixels)
    found = Reference(pixels=pixels, images=inputs, logits=logits_of(network, inputs))
    tensors = {"pixels": pixels, "mean": np.array(normalization.mean), "std": np.array(normalization.std)}
    return found, save({**tensors, "logits": found.logits})


def read_reference(data: bytes, input_chw: tuple[int, int, int]) -> Reference:
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
    given: dict[str, Any] = {name: tensors[name].tolist() for name in ("mean", "std") if name in tensors}
    return Reference(pixels=pixels, images=known_normalization(given, channels).images(pixels), logits=logits)
