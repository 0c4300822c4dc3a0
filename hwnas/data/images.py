"""Labelled images of one resolution: in memory while they are few, decoded on access when they are many."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import get_worker_info

from hwnas.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})
DECODERS = 8
"""Threads that decode; pillow lets go of the interpreter's lock while it works."""
CORRUPT_SHARE = 0.1
"""A data set with a larger share of images that can't be decoded is wrong, whatever was asked for."""

_CHUNK = 1024


class Images(Protocol):
    """N labelled images."""

    @property
    def labels(self) -> torch.Tensor:
        """(N,) int64, indices of the class names."""
        ...

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        """(n,) int64 -> uint8 (n, 3, R, R), RGB."""
        ...

    def take(self, indices: torch.Tensor) -> Images:
        """The images at ``indices`` (n,), as images of their own."""
        ...


@dataclass(frozen=True)
class MemoryImages:
    """Images held as one tensor.

    Attributes:
        all_pixels: uint8 (N, 3, R, R), RGB.
        labels: int64 (N,).
    """

    all_pixels: torch.Tensor
    labels: torch.Tensor

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        return self.all_pixels[indices]

    def take(self, indices: torch.Tensor) -> MemoryImages:
        return MemoryImages(self.all_pixels[indices], self.labels[indices])


@dataclass(frozen=True)
class CentreImages:
    """The centre squares of larger images: what is evaluated where training crops at random."""

    images: Images
    resolution: int

    @property
    def labels(self) -> torch.Tensor:
        return self.images.labels

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        large = self.images.pixels(indices)
        first = (large.shape[-1] - self.resolution) // 2
        return large[:, :, first : first + self.resolution, first : first + self.resolution]

    def take(self, indices: torch.Tensor) -> CentreImages:
        return CentreImages(self.images.take(indices), self.resolution)


class Skipped:
    """Images that couldn't be decoded, each counted once.

    Args:
        allowed: this many are passed over; the next one is an error. 0: the first is.
        images: of the whole data set, for the message.
    """

    def __init__(self, allowed: int, images: int) -> None:
        self._allowed, self._images = allowed, images
        self._problems: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many so far; images that are decoded on access are known once they were asked for."""
        return len(self._problems)

    @property
    def names(self) -> tuple[str, ...]:
        """The first ten of them, sorted."""
        return tuple(sorted(self._problems)[:10])

    def since(self, count: int) -> list[tuple[str, str]]:
        """Name and problem of those that came after the first ``count``: what a process tells another."""
        return list(self._problems.copy().items())[count:]

    def add(self, name: str, problem: str) -> None:
        """Count an image, unless it was.

        Raises:
            DataError: it is one too many.
        """
        self._problems.setdefault(name, problem)
        if not self._allowed:
            raise DataError(problem)
        if self.count > self._allowed:
            raise DataError(
                f"{self.count} of {self._images} images can't be decoded, more than {CORRUPT_SHARE:.0%}; "
                f"the first: {next(iter(self._problems.values()))}"
            )


class Source(Protocol):
    """Where encoded images come from. It is sent to processes that decode, so it should be small."""

    @property
    def threads(self) -> int:
        """How many may call :meth:`image` at the same time."""
        ...

    def name(self, index: int) -> str:
        """Of an image, for messages."""
        ...

    def image(self, index: int, resolution: int) -> npt.NDArray[np.uint8]:
        """One image as uint8 (R, R, 3), RGB.

        Raises:
            DataError: it can't be read or isn't an image; it is named.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a data set has, before anything is decoded.

    Attributes:
        train, test: images and their labels, int64 (N,).
        classes: names; labels are indices of them.
        fingerprint: SHA-256 of what is known without decoding everything.
        mirrors: whether a mirrored image still shows its class.
        ignored: files that aren't images.
    """

    train: tuple[Source, torch.Tensor]
    test: tuple[Source, torch.Tensor]
    classes: tuple[str, ...]
    fingerprint: Callable[[], str]
    mirrors: bool = True
    ignored: int = 0


@dataclass(frozen=True)
class SourceImages:
    """Images that are decoded each time they are asked for.

    One that can't be decoded is replaced by the next one of its class that can, as long as ``skipped`` allows: so
    labels hold, and no image moves from one part of the data to another.

    Attributes:
        source: of these and maybe other images.
        indices: int64 (N,), of these images in ``source``.
        labels: int64 (N,).
        resolution: R in pixels.
        skipped: what couldn't be decoded.
    """

    source: Source
    indices: torch.Tensor
    labels: torch.Tensor
    resolution: int
    skipped: Skipped

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        pixels = np.empty((len(indices), self.resolution, self.resolution, 3), dtype=np.uint8)
        chosen = indices.tolist()

        def put(place: int) -> None:
            pixels[place] = self._readable(chosen[place])

        self._for_each(put, len(chosen))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def take(self, indices: torch.Tensor) -> SourceImages:
        return SourceImages(self.source, self.indices[indices], self.labels[indices], self.resolution, self.skipped)

    def in_memory(self) -> MemoryImages:
        """The same images, decoded once and for all; without those that can't be."""
        count = len(self.labels)
        pixels = np.empty((count, 3, self.resolution, self.resolution), dtype=np.uint8)
        good = torch.zeros(count, dtype=torch.bool)

        def put(place: int) -> None:
            if (image := self._image(place)) is not None:
                pixels[place] = image.transpose(2, 0, 1)
                good[place] = True

        self._for_each(put, count)
        everything = MemoryImages(torch.from_numpy(pixels), self.labels)
        return everything if good.all() else everything.take(good.nonzero().flatten())

    def _for_each(self, do: Callable[[int], None], count: int) -> None:
        threads = min(self.source.threads, count) if get_worker_info() is None else 1
        if threads <= 1:
            for place in range(count):
                do(place)
            return
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, count, _CHUNK):  # an error ends it soon, not after everything else was decoded
                list(pool.map(do, range(first, min(first + _CHUNK, count))))

    def _readable(self, index: int) -> npt.NDArray[np.uint8]:
        for candidate in self._candidates(index):
            if (image := self._image(candidate)) is not None:
                return image
        raise DataError(f"{self.source.name(int(self.indices[index]))}: no image of its class can be decoded")

    def _candidates(self, index: int) -> Iterator[int]:
        yield index
        same = torch.nonzero(self.labels == self.labels[index]).flatten()
        here = int(torch.searchsorted(same, index))
        yield from same[here + 1 :].tolist()
        yield from same[:here].tolist()

    def _image(self, index: int) -> npt.NDArray[np.uint8] | None:
        place = int(self.indices[index])
        try:
            return self.source.image(place, self.resolution)
        except DataError as problem:
            self.skipped.add(self.source.name(place), str(problem))
            return None


def decode(file: Path | io.BytesIO, name: Callable[[], str], resolution: int) -> npt.NDArray[np.uint8]:
    """One image file as uint8 (R, R, 3), RGB; see :func:`fit`.

    A JPEG at least four times as large as needed is decoded at a half, a quarter or an eighth of its size, whichever
    still leaves twice what is needed: several times as fast, and next to nothing is lost.

    Args:
        file: its path or its bytes.
        name: for the message.
        resolution: R in pixels.

    Raises:
        DataError: the file can't be read or isn't an image; it is named.
    """
    try:
        with Image.open(file) as image:
            image.draft(None, (2 * resolution, 2 * resolution))  # None: keep the mode
            return fit(image if image.mode == "RGB" else image.convert("RGB"), resolution)
    except UnidentifiedImageError:
        problem = "not an image that pillow knows"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # pillow raises all of these
        problem = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"can't decode {name()}: {problem}; repair or remove the file")


def fit(image: Image.Image, resolution: int) -> npt.NDArray[np.uint8]:
    """An RGB image as uint8 (R, R, 3): shorter side to R (pillow BILINEAR), then centre crop; R×R stays untouched."""
    if image.size != (resolution, resolution):
        scale = resolution / min(image.size)
        width, height = (max(resolution, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - resolution) // 2, (height - resolution) // 2
        image = image.crop((left, top, left + resolution, top + resolution))
    return np.asarray(image, dtype=np.uint8)


def spread(count: int, wanted: int) -> torch.Tensor:
    """Indices of ``wanted`` of ``count`` things (of all, if there are fewer), evenly spaced: (n,) int64."""
    wanted = min(wanted, count)
    return torch.arange(wanted) * count // max(wanted, 1)
