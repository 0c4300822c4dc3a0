"""Augmentation of whole batches on the device that trains.

What is random is drawn on the CPU, one row per image, and applied where the pixels are: so a CPU and a GPU show the
same views, and a process that holds part of a batch draws for all of it and applies its rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import grid_sample

Augment = Literal["none", "shift", "crop"]

_SHIFT = 1 / 8
"""Largest shift as a share of the side: 4 pixels of 32 (ResNet, arXiv 1512.03385, §4.2)."""
_MARGIN = 1 / 14
"""On each side, as a share of the resolution: 256 pixels around 224."""


def resize_px(augment: Augment, resolution: int) -> int:
    """What the shorter side is resized to, for training and for evaluation; for ``crop`` more than is then used."""
    return resolution + 2 * round(resolution * _MARGIN) if augment == "crop" else resolution


@dataclass(frozen=True)
class Views:
    """What is drawn for a batch of n images; a method applies it to them.

    Attributes:
        offsets: of ``shift``, int64 (n, 2): row and column of the window in the padded image.
        boxes: of ``crop``, float32 (n, 4): left, top, width and height in pixels.
        flips: bool (n,), or None where images must not be mirrored.
    """

    offsets: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    flips: torch.Tensor | None = None

    def rows(self, part: slice) -> Views:
        """Those of some of the images."""
        chosen = (None if drawn is None else drawn[part] for drawn in (self.offsets, self.boxes, self.flips))
        return Views(*chosen)

    def of(self, pixels: torch.Tensor, fill: torch.Tensor, resolution: int) -> torch.Tensor:
        """uint8 (n, 3, D, D), on any device -> uint8 (n, 3, R, R) there; ``fill`` (3,) is what shifts let in."""
        device = pixels.device
        if self.boxes is not None:
            pixels = cropped(pixels, self.boxes.to(device, non_blocking=True), resolution)
        if self.offsets is not None:
            pixels = shifted(pixels, self.offsets.to(device, non_blocking=True), fill.to(device, non_blocking=True))
        return pixels if self.flips is None else mirrored(pixels, self.flips.to(device, non_blocking=True))


def draw(augment: Augment, count: int, size: int, mirrors: bool, generator: torch.Generator) -> Views:
    """Views of ``count`` square images of ``size`` pixels."""
    offsets = draw_offsets(count, size, generator) if augment == "shift" else None
    boxes = draw_boxes(count, size, generator) if augment == "crop" else None
    flips = torch.rand(count, generator=generator) < 0.5 if mirrors and augment != "none" else None
    return Views(offsets, boxes, flips)


def draw_offsets(count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Where to cut images that are padded by :func:`margin` on each side: int64 (n, 2), row and column."""
    return torch.randint(0, 2 * margin(size) + 1, (2, count), generator=generator).T


def margin(size: int) -> int:
    """The largest shift of an image of ``size`` pixels, in pixels."""
    return max(1, round(size * _SHIFT))


def shifted(pixels: torch.Tensor, offsets: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Padding and cropping (ResNet, arXiv 1512.03385, §4.2): uint8 (n, 3, R, R) -> same shape.

    Args:
        pixels: the images.
        offsets: int64 (n, 2), row and column of the window in the padded image.
        fill: uint8 (3,), the padding.
    """
    count, _, size, _ = pixels.shape
    around = margin(size)
    padded = fill.view(1, 3, 1, 1).expand(count, 3, size + 2 * around, size + 2 * around).clone()
    padded[:, :, around:-around, around:-around] = pixels
    places = torch.arange(size, device=pixels.device) + offsets[:, :, None]  # (n, 2, R)
    image = torch.arange(count, device=pixels.device)[:, None, None]
    return padded[image, :, places[:, 0, :, None], places[:, 1, None, :]].permute(0, 3, 1, 2)


def draw_boxes(count: int, size: int, generator: torch.Generator, smallest: float = 0.08) -> torch.Tensor:
    """Random boxes as Inception trains on (arXiv 1409.4842, §6): float32 (n, 4), left, top, width, height in pixels.

    The share of the area is uniform in [``smallest``, 1]; the aspect ratio, width over height, is log-uniform in
    [3/4, 4/3] as far as a box of that area fits; the place is uniform. Nothing is drawn again, so each image takes the
    same number of draws, and areas are uniform to the end (drawing again what doesn't fit prefers small boxes).
    """
    area, aspect, left, top = torch.rand((4, count), generator=generator, dtype=torch.float64)
    area = smallest + (1 - smallest) * area
    widest = torch.minimum(-area.log(), torch.tensor(math.log(4 / 3)).double())  # √(area · aspect) ≤ 1
    aspect = ((2 * aspect - 1) * widest).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    return (size * torch.stack([left * (1 - width), top * (1 - height), width, height], dim=1)).float()


def cropped(pixels: torch.Tensor, boxes: torch.Tensor, resolution: int) -> torch.Tensor:
    """Each image's box, resized to R×R by bilinear interpolation: uint8 (n, 3, D, D) -> uint8 (n, 3, R, R).

    It has no low-pass filter, so boxes much larger than R would alias; with D from :func:`resize_px` a box is at most
    8/7 R. A small box is blurred the more, as it comes from D pixels and not from the original file.

    Args:
        pixels: the images.
        boxes: float32 (n, 4): left, top, width and height in pixels.
        resolution: R in pixels.
    """
    size = pixels.shape[-1]
    centres = (torch.arange(resolution, device=pixels.device) + 0.5) / resolution
    # where each output pixel's centre lies, in [-1, 1] from edge to edge
    x, y = (2 * (boxes[:, i, None] + boxes[:, i + 2, None] * centres) / size - 1 for i in (0, 1))  # (n, R) each
    shape = (len(pixels), resolution, resolution)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=3)
    floats = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    found = grid_sample(floats, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.round_().to(torch.uint8)


def mirrored(pixels: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Those of ``flips``, bool (n,), left to right: (n, 3, R, R) -> same shape."""
    return torch.where(flips[:, None, None, None], pixels.flip(3), pixels)
