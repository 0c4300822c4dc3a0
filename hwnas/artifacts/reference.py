"""A few inputs and what the network gives for them, shipped with an artifact: whoever has it can check parity again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hwnas.arrays import Array
from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.parity import Evidence
from hwnas.artifacts.samples import Samples
from hwnas.errors import ModelError
from hwnas.records.model import Preprocessing
from hwnas.records.network import NetworkRecord

if TYPE_CHECKING:  # it loads torch, and an artifact is checked without it
    from hwnas.artifacts.source import Source

REFERENCE = "parity.safetensors"

_INPUTS = 8
_TAKES, _GIVES = "inputs.", "outputs."


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Inputs and what the network makes of them.

    Attributes:
        samples: as the network takes them.
        normalization: that made them of whole pixels; None of what isn't made of images.
        outputs: {name: (N, …)}.
    """

    samples: Samples
    normalization: Normalization | None
    outputs: Mapping[str, Array]

    def evidence(self, network: NetworkRecord) -> Evidence:
        """What files of ``network`` can be held against."""
        return Evidence(
            samples=self.samples, inputs=REFERENCE, outputs=self.outputs, source=network.reference,
            classifies=network.classes is not None,
        )  # fmt: skip

    def packed(self, network: NetworkRecord) -> bytes:
        """The file that holds it: of images the pixels, of other inputs what they are."""
        held = {f"{_GIVES}{name}": array for name, array in self.outputs.items()}
        if self.normalization is None:
            held |= {
                f"{_TAKES}{port.name}": array for port, array in zip(network.takes, self.samples.arrays, strict=True)
            }
        else:
            (images,) = self.samples.arrays
            held |= {
                "pixels": self.normalization.pixels(images),
                "mean": np.array(self.normalization.mean),
                "std": np.array(self.normalization.std),
            }
        return save({name: np.ascontiguousarray(array) for name, array in held.items()})


def normalization_of(preprocessing: Preprocessing | None, channels: int) -> Normalization:
    """Of the inputs; where nobody knows, as of a network with random weights.

    Raises:
        ConfigError: the preprocessing has no mean and deviation for each channel.
    """
    if preprocessing is None:
        return Normalization((0.5,) * channels, (0.25,) * channels)
    return Normalization.of(preprocessing, channels)


def reference_of(source: Source, samples: Samples, normalization: Normalization | None) -> Reference:
    """A few of ``samples``, rounded to whole pixels where there is a ``normalization`` that made them of images."""
    few = samples[:: max(len(samples) // _INPUTS, 1)][:_INPUTS]
    if normalization:
        (images,) = few.arrays
        few = Samples.of(source.record, normalization.images(normalization.pixels(images)))
    return Reference(samples=few, normalization=normalization, outputs=source.answers(few))


def read_reference(data: bytes, network: NetworkRecord) -> Reference:
    """What :meth:`Reference.packed` gave.

    Raises:
        ModelError: another file, or of another network's inputs.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{REFERENCE} isn't a safetensors file: {' '.join(str(error).split())}") from None
    normalization = None
    if "pixels" in tensors:
        normalization, arrays = _of_pixels(tensors, network)
    else:
        arrays = tuple(tensors.get(f"{_TAKES}{port.name}", np.empty(0)) for port in network.takes)
    count = len(arrays[0])
    for port, array in zip(network.takes, arrays, strict=True):
        if (array.dtype, array.shape) != (np.dtype(port.dtype), (count, *port.shape)) or not count:
            sides = ", ".join(map(str, ("N", *port.shape)))
            raise ModelError(f"{REFERENCE}: {_TAKES}{port.name} must be {port.dtype} ({sides})")
    outputs = {name: tensors.get(f"{_GIVES}{name}", np.empty(0)) for name in network.gives}
    for name, array in outputs.items():
        if array.ndim < 1 or len(array) != count or (network.classes and array.shape != (count, network.classes)):
            raise ModelError(f"{REFERENCE}: {_GIVES}{name} must be of {count} inputs, and the network's shape")
    return Reference(samples=Samples.of(network, *arrays), normalization=normalization, outputs=outputs)


def _of_pixels(tensors: Mapping[str, Array], network: NetworkRecord) -> tuple[Normalization, tuple[Array, ...]]:
    if network.image_chw is None:
        raise ModelError(f"{REFERENCE} holds pixels, and the network takes no images")
    channels, height, width = network.image_chw
    pixels, mean, std = (tensors.get(name, np.empty(0)) for name in ("pixels", "mean", "std"))
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (height, width, channels) or not len(pixels):
        raise ModelError(f"{REFERENCE}: pixels must be uint8 (N, {height}, {width}, {channels})")
    if {mean.shape, std.shape} != {(channels,)} or not np.isfinite([mean, std]).all():
        raise ModelError(f"{REFERENCE} must have mean and std of its {channels} channels")
    if not (std > 0).all():
        raise ModelError(f"{REFERENCE}: images are divided by std {std.tolist()}; it must be above 0")
    normalization = Normalization(tuple(map(float, mean)), tuple(map(float, std)))
    return normalization, (normalization.images(pixels),)
