"""Data sets: a train, a validation and a test part, and how an image becomes a network's input."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hwnas.data import foreign
from hwnas.data.doubles import doubles
from hwnas.data.folder import read_folder
from hwnas.data.images import (
    CORRUPT_SHARE,
    CentreImages,
    Images,
    Listing,
    MemoryImages,
    Skipped,
    SourceImages,
    readable,
    spread,
    stratified,
)
from hwnas.data.pixels import RULE, fit
from hwnas.data.shards import has_shards, read_shards
from hwnas.errors import DataError
from hwnas.records.model import Preprocessing
from hwnas.registry import Registry

MEMORY_LIMIT_BYTES = 4 * 2**30
"""Data sets that decode to at most this many bytes are decoded once and kept; larger ones at each access."""

_STATISTICS_IMAGES = 20_000
_STATISTICS_PIXELS = 2**28
"""Beside the number of images: 5,349 of 224 pixels, which may have to be decoded for this each time."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a data source hands over; plug-ins register a callable ``resolution -> Parts`` under ``hwnas.data``.

    Attributes:
        train, test: the images, uint8 RGB at the resolution; ``test`` is for final numbers only.
        classes: their names; labels are indices of them.
        mirrors: whether a mirrored image still shows its class, so that training may flip it.
        fingerprint: SHA-256 of the content; of names and sizes where it is too large for memory.
        skipped: images that couldn't be decoded and were left out or replaced; it grows as images are decoded.
        ignored: files that lie with the images and aren't any.
        remarks: gives lines that a person should read before the images are used; it may read all of them.
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    mirrors: bool
    fingerprint: str
    skipped: Skipped = field(default_factory=lambda: Skipped(0, 0))
    ignored: int = 0
    remarks: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True, kw_only=True)
class Data(Parts):
    """A data set at one resolution: its parts, of which ``train`` is what weights are trained on.

    Attributes:
        spec: what :func:`load_data` takes to load it again.
        corrupt: whether an image that can't be decoded was to be an error, or to be skipped.
        resolution: height and width in pixels.
        resize_px: what the shorter side of an image is resized to before its centre is cropped.
        uncropped: the train images before the crop, squares of ``resize_px``: what augmentation crops from.
        validation: held out of the original train part, for search and for watching a training.
        mean, std: per channel (RGB) of the train part, of pixels in [0, 1].
    """

    spec: str
    corrupt: Literal["fail", "skip"]
    resolution: int
    resize_px: int
    uncropped: Images
    validation: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def preprocessing(self) -> Preprocessing:
        """From an image file to the network's input: what an artifact ships."""
        return preprocessing_of(self.resolution, self.resize_px, self.mean, self.std)

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 3, R, R) -> float32 of mean 0 and variance 1 over the train part, channels last in memory."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        scaled = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
        return scaled.sub_(mean).div_(std)

    def test_images(self, count: int) -> npt.NDArray[np.float32]:
        """Network inputs made of ``count`` evenly spaced test images: (n, 3, R, R), for checks of exported files."""
        pixels = self.test.pixels(spread(len(self.test.labels), count))
        return self.normalize(pixels).contiguous().numpy()


def preprocessing_of(resolution: int, resize_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    """From an image file to a network's input; arguments as :class:`Data` has them."""
    size = "the resolution" if resize_px == resolution else f"{resize_px} pixels"
    resize = f"shorter side to {size} (pillow BILINEAR), then centre crop"
    return Preprocessing(resolution=resolution, resize=resize, resize_px=resize_px, decoding=RULE, mean=mean, std=std)


def load_data(
    spec: str,
    resolution: int,
    *,
    held_out: float = 0.1,
    corrupt: Literal["fail", "skip"] = "fail",
    resize_px: int | None = None,
) -> Data:
    """A data set by name, folder or import path.

    Which images are held out depends on nothing but the images: the same ones for every training.

    Args:
        spec: ``digits`` (scikit-learn's 1,797 grey 8×8 digits, embedded), the name of a plug-in,
            ``python:package.module:callable`` (see :mod:`hwnas.data.foreign`), a folder with ``train/<class>/*.jpg``
            and ``test/<class>/*.jpg`` or with ``<class>/*.jpg`` alone (see :mod:`hwnas.data.folder`), or one of shards
            (see :mod:`hwnas.data.shards`).
        resolution: height and width in pixels.
        held_out: share of each class's train images for validation, in (0, 1).
        corrupt: an image that can't be decoded is an error, or is left out; one that turns up in training is replaced
            by the next of its class. More than a tenth of all is an error in any case.
        resize_px: what the shorter side is resized to before the centre is cropped; the resolution when absent. See
            :func:`hwnas.data.augment.resize_px`.

    Raises:
        DataError: no such data, wrong contents, an image that can't be decoded, or a class too small to split.
    """
    resize_px = resize_px or resolution
    if resize_px < resolution or (resize_px - resolution) % 2:  # even, so that a crop of a crop is the crop
        raise DataError(f"resize_px {resize_px} must be the resolution {resolution} or more by an even number")
    parts = _parts(spec, resize_px, corrupt)
    kept, held = stratified(parts.train.labels, held_out, parts.classes)
    uncropped = parts.train.take(kept)
    train, validation, test = (
        images if resize_px == resolution else CentreImages(images, resolution)
        for images in (uncropped, parts.train.take(held), parts.test)
    )
    mean, std = _channel_statistics(train, resolution)
    return Data(
        spec=spec, corrupt=corrupt, resolution=resolution, resize_px=resize_px, classes=parts.classes,
        train=train, uncropped=uncropped, validation=validation, test=test,
        mean=mean, std=std, mirrors=parts.mirrors, fingerprint=parts.fingerprint,
        skipped=parts.skipped, ignored=parts.ignored, remarks=parts.remarks,
    )  # fmt: skip


def classes_of(spec: str) -> tuple[str, ...] | None:
    """Classes of a data set as :func:`load_data` has it; None where only its images would tell. Nothing is decoded.

    Raises:
        DataError: no such data, or wrong contents.
    """
    return None if spec in SOURCES.names() else _listing(spec).classes


def _listing(spec: str) -> Listing:
    if spec.startswith(foreign.PREFIX):
        return foreign.read_foreign(spec)
    try:
        return (read_shards if has_shards(Path(spec)) else read_folder)(Path(spec))
    except OSError as error:
        raise DataError(f"can't read {readable(str(error.filename or spec))}: {error.strerror}") from None


def _parts(spec: str, size: int, corrupt: str) -> Parts:
    if spec in SOURCES.names():
        return SOURCES.get(spec)(size)
    try:
        return _decoded(_listing(spec), size, corrupt)
    except MemoryError:
        raise DataError(f"there isn't enough memory for the images of {spec} at {size} pixels; take fewer") from None


def _digits(resolution: int) -> Parts:
    """Digits of the UCI optical recognition set (Alpaydin & Kaynak 1998), 80 % train and 20 % test by a fixed seed."""
    state = random.getstate()  # which importing scikit-learn's data sets changes
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    random.setstate(state)

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


SOURCES = Registry[Callable[[int], Parts]]("hwnas.data", "data set", {"digits": _digits}, DataError)
"""Data sets that have a name: what makes their parts at a size in pixels."""


def _decoded(found: Listing, size: int, corrupt: str) -> Parts:
    """In memory if it fits, else decoded on access."""
    count = len(found.train[1]) + len(found.test[1])
    skipped = Skipped(int(CORRUPT_SHARE * count) if corrupt == "skip" else 0, count)
    train, test = (
        SourceImages(source, torch.arange(len(labels)), labels, size, skipped)
        for source, labels in (found.train, found.test)
    )
    parts = partial(
        Parts, classes=found.classes, mirrors=found.mirrors, skipped=skipped, ignored=found.ignored,
        remarks=lambda: [*found.remarks, *doubles(found)],
    )  # fmt: skip
    if count * 3 * size**2 > MEMORY_LIMIT_BYTES:
        return parts(train=train, test=test, fingerprint=found.fingerprint())
    here = train.in_memory(), test.in_memory()
    return parts(train=here[0], test=here[1], fingerprint=_hash(*here))


def _hash(*parts: MemoryImages) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.all_pixels.numpy().data)
        digest.update(part.labels.numpy().data)
    return digest.hexdigest()


def _channel_statistics(images: Images, resolution: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of at most 20,000 evenly spaced images, exact from histograms."""
    wanted = min(_STATISTICS_IMAGES, _STATISTICS_PIXELS // resolution**2)
    counts = np.zeros((3, 256), dtype=np.int64)
    for chunk in spread(len(images.labels), wanted).split(256):  # type: ignore[no-untyped-call]
        for channel, values in enumerate(images.pixels(chunk).unbind(1)):
            counts[channel] += torch.bincount(values.flatten(), minlength=256).numpy()
    shades = np.arange(256) / 255
    means = counts @ shades / counts.sum(axis=1)
    variances = counts @ shades**2 / counts.sum(axis=1) - means**2
    stds = np.sqrt(np.maximum(variances, 1 / 255**2))  # a constant channel must not divide by zero
    return tuple(float(m) for m in means), tuple(float(s) for s in stds)
