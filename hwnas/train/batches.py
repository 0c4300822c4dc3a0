"""Training batches: order, augmentation and normalisation, each a function of (seed, epoch, step) alone.

Nothing is carried from one batch to the next, so a resumed training has no generator to restore here.
"""

from __future__ import annotations

import numpy as np
import torch

from hwnas.errors import DataError
from hwnas.train.data import Data

_ORDER, _AUGMENT = 0, 1
_SHIFT = 1 / 8
"""Largest shift as a share of the side: 4 pixels of 32 (ResNet, arXiv 1512.03385, §4.2)."""


def generator_for(*words: int) -> torch.Generator:
    """A generator whose stream depends on all of ``words`` and on nothing else."""
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> 1))


class Batches:
    """The training batches of a data set.

    Args:
        data: whose train part.
        batch: images in each; what is left over at the end of an epoch is dropped.
        augment: random shifts, and flips where the data allows them.
        seed: decides order and augmentation.

    Raises:
        DataError: there are fewer train images than one batch.
    """

    def __init__(self, data: Data, batch: int, *, augment: bool, seed: int) -> None:
        count = len(data.train.labels)
        if count < batch:
            raise DataError(f"{data.spec} has {count} images to train on, fewer than one batch of {batch}; lower batch")
        self._data, self._batch, self._augment, self._seed = data, batch, augment, seed
        self.per_epoch = count // batch

    def order(self, epoch: int) -> torch.Tensor:
        """The shuffled image indices of an epoch: (per_epoch, batch)."""
        count = len(self._data.train.labels)
        shuffled = torch.randperm(count, generator=generator_for(self._seed, epoch, 0, _ORDER))
        return shuffled[: self.per_epoch * self._batch].view(self.per_epoch, self._batch)

    def load(
        self, indices: torch.Tensor, epoch: int, step: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One row of :meth:`order` -> normalised x (B, 3, R, R) float32 and labels (B,), on ``device``."""
        pixels = self._data.train.pixels(indices)
        if self._augment:
            generator = generator_for(self._seed, epoch, step, _AUGMENT)
            fill = torch.tensor(self._data.mean).mul(255).round().to(torch.uint8)
            pixels = shifted(pixels, fill, generator)
            if self._data.mirrors:
                pixels = mirrored(pixels, generator)
        labels = self._data.train.labels[indices]
        return self._data.normalize(pixels.to(device)), labels.to(device)


def shifted(pixels: torch.Tensor, fill: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move each image by up to an eighth of its side in both directions; ``fill`` (3,) comes in at the edges.

    uint8 (n, 3, R, R) -> same shape. It is padding and random cropping (ResNet, arXiv 1512.03385, §4.2).
    """
    count, _, size, _ = pixels.shape
    margin = max(1, round(size * _SHIFT))
    padded = fill.view(1, 3, 1, 1).expand(count, 3, size + 2 * margin, size + 2 * margin).clone()
    padded[:, :, margin:-margin, margin:-margin] = pixels
    top, left = torch.randint(0, 2 * margin + 1, (2, count, 1), generator=generator)
    rows, columns = torch.arange(size) + top, torch.arange(size) + left  # (n, R) each
    image = torch.arange(count)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirrored(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip each image left to right with probability 1/2: (n, 3, R, R) -> same shape."""
    flip = torch.rand(len(pixels), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], pixels.flip(3), pixels)
