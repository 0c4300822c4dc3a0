"""Labelled images of one resolution: in memory while they are few, decoded on access when they are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from hwnas.errors import DataError

RESIZE_RULE = "shorter side to the resolution (pillow BILINEAR), then centre crop"
DECODERS = 8
"""Threads that decode; pillow lets go of the interpreter's lock while it works."""


class Images(Protocol):
    """N labelled images."""

    @property
    def labels(self) -> torch.Tensor:
        """(N,) int64, indices of the sorted class names."""
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
class FileImages:
    """Images that stay in their files and are decoded by threads each time they are asked for."""

    paths: Sequence[Path]
    labels: torch.Tensor
    resolution: int

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        chosen = [self.paths[index] for index in indices.tolist()]
        with ThreadPoolExecutor(DECODERS) as pool:
            arrays = list(pool.map(lambda path: decode(path, self.resolution), chosen))
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)

    def take(self, indices: torch.Tensor) -> FileImages:
        return FileImages([self.paths[i] for i in indices.tolist()], self.labels[indices], self.resolution)

    def in_memory(self) -> MemoryImages:
        """The same images, decoded once and for all."""
        return MemoryImages(self.pixels(torch.arange(len(self.paths))).contiguous(), self.labels)


def decode(path: Path, resolution: int) -> npt.NDArray[np.uint8]:
    """One image file as uint8 (R, R, 3), RGB, by :data:`RESIZE_RULE`; one of that size is passed on untouched.

    Raises:
        DataError: the file can't be read or isn't an image; it is named.
    """
    try:
        with Image.open(path) as image:
            return fit(image.convert("RGB"), resolution)
    except UnidentifiedImageError:
        problem = "not an image that pillow knows"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # pillow raises all of these
        problem = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"can't decode {path}: {problem}; repair or remove the file")


def fit(image: Image.Image, resolution: int) -> npt.NDArray[np.uint8]:
    """An RGB image as uint8 (R, R, 3), by :data:`RESIZE_RULE`."""
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


def in_chunks(images: Images, indices: torch.Tensor, size: int, use: Callable[[torch.Tensor], None]) -> None:
    """Call ``use`` with uint8 (≤ size, 3, R, R) until all of ``indices`` were given."""
    for start in range(0, len(indices), size):
        use(images.pixels(indices[start : start + size]))
