"""From an image file to pixels: one rule for training, calibration, and the ``predict.py`` of every artifact.

It takes numpy and pillow and nothing of hwnas, because ``predict.py`` has all that stands below the imports in it.
"""

from __future__ import annotations

import os
import stat
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

RULE = "first frame, turned as EXIF says; 16-bit grey v becomes v/257; what is transparent is laid over white"
"""What is done before an image is resized, in words."""
# predict.py has what follows
MOST_PIXELS = 89_478_485  # where pillow begins to warn: 268 MB of RGB
LONGEST = 8  # times as long as wide; of longer images only the middle is resized

# They run another program, need what only one system has, or know a file without having its pixels.
_NOT_READ = {"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MIC", "MPEG", "WMF"}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def formats() -> list[str]:
    """Of image files that are read: all that pillow opens, but for a few that aren't pixels."""
    Image.init()
    return [name for name in Image.ID if name not in _NOT_READ]


def read_pixels(file: str | os.PathLike[str] | IO[bytes], size: int) -> npt.NDArray[np.uint8]:
    """An image file's centre square, uint8 (size, size, 3), RGB; see :func:`fit`.

    A JPEG at least four times as large as needed is decoded at a half, a quarter or an eighth of its size, whichever
    still leaves twice what is needed: several times as fast, and next to nothing is lost.

    Raises:
        ValueError: a pipe, a device or a folder, too many pixels, or pixels of unknown range. A damaged file makes
            pillow raise anything.
    """
    if isinstance(file, str | os.PathLike) and not stat.S_ISREG(os.stat(file).st_mode):
        raise ValueError("not a plain file")
    with Image.open(file, formats=formats()) as image:
        image.draft(None, (2 * size, 2 * size))  # None: keep the mode
        return fit(image, size)


def fit(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """The centre square of an image, uint8 (size, size, 3), RGB; one of that size stays as it is.

    Turned as EXIF says, shorter side to ``size`` (BILINEAR), then cropped. 16-bit grey v becomes v/257; what is
    transparent is laid over white.

    Raises:
        ValueError: too many pixels, or of unknown range.
    """
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} × {image.height} pixels are more than {MOST_PIXELS:,}")
    image.load()  # only then all tags are read, and TIFF is turned
    if (turn := _orientation(image)) in _TURNS:
        image = image.transpose(_TURNS[turn])
    hidden = image.info.get("transparency")
    image = _middle(image)
    if image.mode.startswith("I"):
        image = _grey(image, hidden)
    elif image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, and nobody knows which is white; store 8 or 16 bits")
    elif image.mode in ("LA", "PA", "RGBA") or hidden is not None:
        image = image.convert("RGBA").convert("RGBa")  # colours times alpha: resizing mixes no hidden ones in
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        image = image.crop((left, top, left + size, top + size))
    pixels: npt.NDArray[np.uint8] = np.asarray(image)
    if image.mode == "I":
        return np.repeat(((pixels + 128) // 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "RGBa":
        return pixels[:, :, :3] + (255 - pixels[:, :, 3:])
    return pixels


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif()[0x0112])
    except Exception:  # there is none, or the metadata is damaged; the picture may be whole
        return 1


def _middle(image: Image.Image) -> Image.Image:
    """Of an image much longer than wide what can be in the centre square, and some more."""
    parts = []
    for side in image.size:
        most = LONGEST * min(image.size)
        first = max(side - most, 0) // 2  # as much on either side, so that the centre stays
        parts.append((first, side - first))
    (left, right), (top, bottom) = parts
    return image if (right - left, bottom - top) == image.size else image.crop((left, top, right, bottom))


def _grey(image: Image.Image, hidden: int | None) -> Image.Image:
    """Grey of 16 bits, whose modes are several, as pillow's 32-bit integers; the value ``hidden`` means transparent."""
    image = image.convert("I")
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise ValueError(f"its pixels go from {low} to {high}, and nobody knows which is white; store 8 or 16 bits")
    if hidden is None:
        return image
    return Image.fromarray(np.where(values == hidden, np.int32(65535), values))
