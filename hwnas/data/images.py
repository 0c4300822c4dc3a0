"""Labelled images of one resolution: in memory while they are few, decoded on access when they are many."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import UnidentifiedImageError
from torch.utils.data import get_worker_info

from hwnas.data.pixels import read_pixels
from hwnas.errors import DataError, first_line

DECODERS = 8
"""Threads that decode; pillow lets go of the interpreter's lock while it works."""
CORRUPT_SHARE = 0.1
"""A data set with a larger share of images that can't be decoded is wrong, whatever was asked for."""

_CHUNK = 1024
_SPLIT_SEED = 0


class Place(NamedTuple):
    """Where the bytes of an encoded image lie."""

    path: str
    offset: int
    size: int


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
            skippable = CORRUPT_SHARE * self._images >= 1
            raise DataError(problem + ", or have it skipped (corrupt_images: skip)" * skippable)
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

    def place(self, index: int) -> Place | None:
        """Where an image's bytes are; None where it has none of its own, or they can't be read."""
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
        remarks: lines that a person should read before images are used.
    """

    train: tuple[Source, torch.Tensor]
    test: tuple[Source, torch.Tensor]
    classes: tuple[str, ...]
    fingerprint: Callable[[], str]
    mirrors: bool = True
    ignored: int = 0
    remarks: tuple[str, ...] = ()


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
    """One image file as uint8 (R, R, 3), RGB; see :func:`hwnas.data.pixels.read_pixels`.

    Args:
        file: its path or its bytes.
        name: for the message.
        resolution: R in pixels.

    Raises:
        DataError: the file can't be read or isn't an image; it is named.
    """
    try:
        return read_pixels(file, resolution)
    except UnidentifiedImageError:
        problem = "not an image that pillow knows"
    except MemoryError:
        problem = "there isn't enough memory for it"
    except OSError as error:
        problem = error.strerror or first_line(error)
    except Exception as error:  # pillow raises anything at a damaged file
        problem = first_line(error)
    raise DataError(f"can't decode {name()}: {problem}; repair or remove the file")


def spread(count: int, wanted: int) -> torch.Tensor:
    """Indices of ``wanted`` of ``count`` things (of all, if there are fewer), evenly spaced: (n,) int64."""
    wanted = min(wanted, count)
    return torch.arange(wanted) * count // max(wanted, 1)


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


def readable(name: str) -> str:
    """A file's name as any terminal and file takes it: bytes that aren't UTF-8 are shown as such."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
