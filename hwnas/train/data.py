"""Data sets: a train, a validation and a test part, and how an image becomes a network's input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hwnas.errors import DataError
from hwnas.plugins import load_plugin
from hwnas.train.folder import fingerprint, read_folder
from hwnas.train.images import RESIZE_RULE, Images, MemoryImages, fit, in_chunks, spread

MEMORY_LIMIT_BYTES = 4 * 2**30
"""Data sets that decode to at most this many bytes are decoded once and kept; larger ones at each access."""

_SPLIT_SEED = 0
_STATISTICS_IMAGES = 20_000


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a data source hands over; plug-ins register a callable ``resolution -> Parts`` under ``hwnas.data``.

    Attributes:
        train, test: the images, uint8 RGB at the resolution.
        classes: their names, sorted.
        mirrors: whether a mirrored image still shows its class, so that training may flip it.
        fingerprint: SHA-256 of the content.
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    mirrors: bool
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set at one resolution.

    Attributes:
        spec: what :func:`load_data` takes to load it again.
        resolution: height and width in pixels.
        classes: class names, sorted; a label is an index of them.
        train: what weights are trained on.
        validation: held out of the original train part, for search and for watching a training.
        test: for final numbers only.
        mean, std: per channel (RGB) of the train part, of pixels in [0, 1].
        mirrors: whether training may flip images.
        fingerprint: SHA-256 of the content.
    """

    spec: str
    resolution: int
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrors: bool
    fingerprint: str

    @property
    def preprocessing(self) -> dict[str, Any]:
        """From an image file to the network's input, in plain values: what an artifact ships."""
        return {
            "resolution": self.resolution,
            "resize": RESIZE_RULE,
            "channel_order": "RGB",
            "layout": "NCHW",
            "range": [0.0, 1.0],
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 3, R, R) -> float32 of mean 0 and variance 1 over the train part, channels last in memory."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        scaled = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
        return scaled.sub_(mean).div_(std)

    def test_images(self, count: int) -> npt.NDArray[np.float32]:
        """Network inputs made of ``count`` evenly spaced test images: (n, 3, R, R), for checks of exported files."""
        pixels = self.test.pixels(spread(len(self.test.labels), count))
        return self.normalize(pixels).contiguous().numpy()


def load_data(spec: str, resolution: int, *, held_out: float = 0.1) -> Data:
    """A data set by name or folder.

    Which images are held out depends on nothing but the images: the same ones for every training.

    Args:
        spec: ``digits`` (scikit-learn's 1,797 grey 8×8 digits, embedded), the name of a plug-in, or a folder with
            ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``.
        resolution: height and width in pixels.
        held_out: share of each class's train images for validation, in (0, 1).

    Raises:
        DataError: no such data, a wrong folder, an image that can't be decoded, or a class too small to split.
    """
    source: Callable[[int], Parts] | None = _BUILT_IN.get(spec) or load_plugin("hwnas.data", spec)
    parts = source(resolution) if source else _folder(Path(spec), resolution)
    kept, held = stratified(parts.train.labels, held_out, parts.classes)
    train = parts.train.take(kept)
    mean, std = _channel_statistics(train)
    return Data(
        spec=spec, resolution=resolution, classes=parts.classes,
        train=train, validation=parts.train.take(held), test=parts.test,
        mean=mean, std=std, mirrors=parts.mirrors, fingerprint=parts.fingerprint,
    )  # fmt: skip


def stratified(labels: torch.Tensor, share: float, classes: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Split by class with a fixed seed: the indices (ascending) of the rest and of the ``share``, at least 1 each.

    Raises:
        DataError: a class has fewer than 2 images.
    """
    rng = np.random.default_rng(_SPLIT_SEED)
    rest, taken = [], []
    for label, name in enumerate(classes):
        indices = rng.permutation(np.flatnonzero(labels.numpy() == label))
        if len(indices) < 2:
            raise DataError(f"class {name!r} has {len(indices)} train images; it takes 2 or more to hold some out")
        count = min(max(round(share * len(indices)), 1), len(indices) - 1)
        taken.append(indices[:count])
        rest.append(indices[count:])
    kept, held = (torch.from_numpy(np.sort(np.concatenate(part))) for part in (rest, taken))
    return kept, held


def _digits(resolution: int) -> Parts:
    """Digits of the UCI optical recognition set (Alpaydin & Kaynak 1998), 80 % train and 20 % test by a fixed seed."""
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = np.stack([fit(Image.fromarray(image).convert("RGB"), resolution) for image in grey])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    everything = MemoryImages(pixels, torch.from_numpy(digits.target.astype(np.int64)))
    classes = tuple(str(name) for name in digits.target_names)
    train, test = stratified(everything.labels, 0.2, classes)
    return Parts(
        train=everything.take(train), test=everything.take(test), classes=classes, mirrors=False,
        fingerprint=_hash(everything),
    )  # fmt: skip


_BUILT_IN: dict[str, Callable[[int], Parts]] = {"digits": _digits}


def _folder(folder: Path, resolution: int) -> Parts:
    train, test, classes = read_folder(folder, resolution)
    if (len(train.paths) + len(test.paths)) * 3 * resolution**2 > MEMORY_LIMIT_BYTES:
        found = fingerprint(folder, train, test)
        return Parts(train=train, test=test, classes=classes, mirrors=True, fingerprint=found)
    near, far = train.in_memory(), test.in_memory()
    return Parts(train=near, test=far, classes=classes, mirrors=True, fingerprint=_hash(near, far))


def _hash(*parts: MemoryImages) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.all_pixels.numpy().data)
        digest.update(part.labels.numpy().data)
    return digest.hexdigest()


def _channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of at most 20,000 evenly spaced images, exact from histograms."""
    counts = np.zeros((3, 256), dtype=np.int64)

    def add(pixels: torch.Tensor) -> None:
        for channel in range(3):
            counts[channel] += torch.bincount(pixels[:, channel].flatten(), minlength=256).numpy()

    in_chunks(images, spread(len(images.labels), _STATISTICS_IMAGES), 256, add)
    values = np.arange(256) / 255
    means = counts @ values / counts.sum(axis=1)
    variances = counts @ values**2 / counts.sum(axis=1) - means**2
    stds = np.sqrt(np.maximum(variances, 1 / 255**2))  # a constant channel must not divide by zero
    return tuple(float(m) for m in means), tuple(float(s) for s in stds)
