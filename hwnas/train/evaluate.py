"""Accuracy: of a network, and of many archs with the weights they inherit from a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hwnas.nn.derive import Network, derive
from hwnas.nn.supernet import Supernet, choices_of
from hwnas.space.arch import Arch
from hwnas.train.batchnorm import Forward, recalibrated
from hwnas.train.data import Data
from hwnas.train.images import Images, spread

_PIXELS_PER_BATCH = 2**18
"""256 images of 32 pixels: large enough for full speed, small enough for the activations to stay near the cache."""


_Module = TypeVar("_Module", bound=nn.Module)


def channels_last(module: _Module) -> _Module:
    """``module`` with its weights in channels-last memory order: about twice as fast on a CPU, in both directions."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def batch_for(resolution: int) -> int:
    """Images per batch when nothing is trained."""
    return max(8, _PIXELS_PER_BATCH // resolution**2)


def accuracy(network: nn.Module, data: Data, images: Images) -> float:
    """Top-1 accuracy of ``network`` in eval mode on all of ``images``, in [0, 1]; its training flags stay as they were.

    Args:
        network: x_NCHW -> logits.
        data: says how pixels are normalised.
        images: such as ``data.test``.
    """
    flags = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    size = batch_for(data.resolution)
    everything = torch.arange(len(images.labels))
    chunks = (everything[start : start + size] for start in range(0, len(everything), size))
    device = _device(network)
    batches = ((data.normalize(images.pixels(chunk).to(device)), images.labels[chunk].to(device)) for chunk in chunks)
    try:
        return _share_right(network, batches)
    finally:
        for layer, training in flags:
            layer.training = training


@torch.inference_mode()
def _share_right(forward: Forward, batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> float:
    right = total = 0
    for x_NCHW, labels in batches:
        right += int((forward(x_NCHW).argmax(dim=1) == labels).sum())
        total += len(labels)
    return right / total


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


class Evaluator:
    """Inherited accuracy of archs on held-out images: an objective of a search.

    Each arch gets BN statistics of its own first, from images of the train part; the supernet comes out of it
    unchanged. The same arch gets the same accuracy each time.

    Args:
        supernet: trained; its weights are put in channels-last memory order.
        data: its data set.
        recalibration_images: of the train part, evenly spaced; rounded up to whole batches where there are as many.
        evaluation_images: of the validation part, evenly spaced; at most these many.
    """

    def __init__(
        self, supernet: Supernet, data: Data, *, recalibration_images: int = 512, evaluation_images: int = 5000
    ) -> None:
        self._supernet = channels_last(supernet)
        self._data = data
        count = len(data.train.labels)
        size = min(batch_for(data.resolution), recalibration_images, count)
        batches = min(-(-recalibration_images // size), count // size)
        self._recalibration = data.train.pixels(spread(count, batches * size)).split(size)  # type: ignore[no-untyped-call]
        chosen = spread(len(data.validation.labels), evaluation_images)
        self._pixels = data.validation.pixels(chosen)
        self._labels = data.validation.labels[chosen]

    def __call__(self, archs: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Archs (N, L) -> accuracies (N,) in [0, 1].

        Raises:
            ArchError: not archs of the supernet's space.
        """
        rows = self._supernet.space.check(archs)
        return np.array([self._accuracy(tuple(row)) for row in rows.tolist()], dtype=np.float64)

    def derive(self, arch: Arch | Sequence[int]) -> Network:
        """``arch``'s standalone network with the weights and the BN statistics that it was evaluated with.

        Raises:
            ArchError: not an arch of the supernet's space.
        """
        choices = choices_of(self._supernet.space, arch)
        with self._recalibrated(choices):
            return derive(self._supernet, choices)

    def logits(self, arch: Arch | Sequence[int], x_NCHW: torch.Tensor) -> torch.Tensor:
        """What the supernet's path of ``arch`` says to normalised inputs, with its own BN statistics: (N, classes).

        Raises:
            ArchError: not an arch of the supernet's space.
        """
        choices = choices_of(self._supernet.space, arch)
        with self._recalibrated(choices), torch.inference_mode():
            return self._supernet(x_NCHW.to(_device(self._supernet)), choices)  # type: ignore[no-any-return]

    def _recalibrated(self, choices: Sequence[int]) -> AbstractContextManager[None]:
        forward = partial(self._supernet, arch=choices)
        batches = (self._input(pixels) for pixels in self._recalibration)
        return recalibrated(self._supernet.path(choices), forward, batches)

    def _accuracy(self, choices: tuple[int, ...]) -> float:
        size = batch_for(self._data.resolution)
        with self._recalibrated(choices):
            starts = range(0, len(self._labels), size)
            batches = (
                (self._input(self._pixels[s : s + size]), self._labels[s : s + size].to(_device(self._supernet)))
                for s in starts
            )
            return _share_right(partial(self._supernet, arch=choices), batches)

    def _input(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._data.normalize(pixels.to(_device(self._supernet)))
