"""How good a network is, and many archs are with the weights they inherit from a supernet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hwnas.data.images import Images, spread
from hwnas.data.load import Data
from hwnas.errors import ConfigError, counted
from hwnas.evaluation.batchnorm import FEW, recalibrated, unchanged
from hwnas.evaluation.metrics import Meter, Top1
from hwnas.evaluation.prefixes import End, SharedPaths
from hwnas.nn.inherit import inherit
from hwnas.nn.network import Network
from hwnas.nn.process import keep_freed_memory
from hwnas.nn.supernet import Supernet
from hwnas.progress import Progress
from hwnas.space.arch import Arch

_PIXELS_PER_BATCH = 2**18
"""256 images of 32 pixels: large enough for full speed, small enough for the activations to stay near the cache."""


NewMeter = Callable[[torch.device], Meter]

_Module = TypeVar("_Module", bound=nn.Module)


def channels_last(module: _Module) -> _Module:
    """``module`` with its weights in channels-last memory order: about twice as fast on a CPU, in both directions."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def batch_for(resolution: int) -> int:
    """Images per batch when nothing is trained."""
    return max(8, _PIXELS_PER_BATCH // resolution**2)


def accuracy(network: nn.Module, data: Data, images: Images) -> float:
    """Top-1 accuracy of a classifier in [0, 1]; else as :func:`metrics_of`."""
    return metrics_of(network, data, images, Top1)["top1"]


@torch.inference_mode()
def metrics_of(network: nn.Module, data: Data, images: Images, meter: NewMeter) -> dict[str, float]:
    """Metrics of ``network`` in eval mode on all of ``images``; its training flags stay as they were.

    Args:
        network: x_NCHW -> outputs.
        data: says how pixels are normalised.
        images: such as ``data.test``.
        meter: gathers the metrics.
    """
    device = _device(network)
    gathered = meter(device)
    with unchanged([network]):
        network.eval()
        for chunk in torch.arange(len(images.labels)).split(batch_for(data.resolution)):  # type: ignore[no-untyped-call]
            gathered.add(network(data.normalize(images.pixels(chunk).to(device))), images.labels[chunk].to(device))
    return gathered.metrics()


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


RECALIBRATION_IMAGES = 512
"""For an arch's BN statistics, where nobody says how many."""


def statistics_images(data: Data, asked: int = RECALIBRATION_IMAGES) -> tuple[int, list[str]]:
    """How many images BN statistics come from, and what to tell: that they are too few, or fewer than one asked."""
    size, batches = _recalibration(data, asked)
    taken, doubts = size * batches, []
    if taken < asked != RECALIBRATION_IMAGES:  # fewer than the usual are fine, but for too few
        there = f"the train part has {len(data.train.labels):,}, taken in whole batches"
        doubts.append(f"BN statistics come from {counted(taken, 'image')}, not {asked:,}: {there}")
    if taken < FEW:
        doubts.append(
            f"BN statistics from {counted(taken, 'image')} are unsure, so inherited accuracies are too low "
            f"and in a wrong order; take {FEW} or more"
        )
    return taken, doubts


def _recalibration(data: Data, asked: int) -> tuple[int, int]:
    """Size and number of batches."""
    count = len(data.train.labels)
    size = min(batch_for(data.resolution), asked, count)
    return size, min(-(-asked // size), count // size)


class Evaluator:
    """Inherited accuracy of archs on held-out images: an objective of a search.

    Each arch gets BN statistics of its own first, from images of the train part; the supernet comes out of it
    unchanged. The same arch gets the same accuracy each time, also beside other archs: what archs have in common is
    computed once (:mod:`hwnas.evaluation.prefixes`), which changes no bit.

    Args:
        supernet: trained; its weights are put in channels-last memory order.
        data: its data set.
        objective: gathers what calling it gives.
        recalibration_images: of the train part, evenly spaced; rounded up to whole batches where there are as many.
        evaluation_images: of the validation part, evenly spaced; at most these many.

    Raises:
        ConfigError: a number of images isn't positive, or an arch takes more memory than :class:`SharedPaths` has.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        *,
        objective: NewMeter = Top1,
        recalibration_images: int = RECALIBRATION_IMAGES,
        evaluation_images: int = 5000,
    ) -> None:
        if min(recalibration_images, evaluation_images) < 1:
            raise ConfigError(
                "recalibration_images and evaluation_images must be 1 or more, "
                f"got {recalibration_images} and {evaluation_images}"
            )
        keep_freed_memory()
        self._supernet = channels_last(supernet)
        self._data, self._objective = data, objective
        images = data.validation
        count = len(data.train.labels)
        size, batches = _recalibration(data, recalibration_images)
        self._recalibration = data.train.pixels(spread(count, batches * size)).split(size)  # type: ignore[no-untyped-call]
        chosen = spread(len(images.labels), evaluation_images)
        self._pixels = images.pixels(chosen).split(batch_for(data.resolution))  # type: ignore[no-untyped-call]
        self._labels = images.labels[chosen].split(batch_for(data.resolution))  # type: ignore[no-untyped-call]
        self._shared = SharedPaths(supernet, max(size, len(self._labels[0])))

    @property
    def images(self) -> int:
        """How many images of the validation part it evaluates on."""
        return sum(map(len, self._labels))

    @property
    def peak_bytes(self) -> int:
        """The most that was kept at once in the last evaluation."""
        return self._shared.peak_bytes

    def __call__(self, archs: npt.ArrayLike, progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Archs (N, L) -> the objective's metric of each (N,); accuracies in [0, 1].

        Args:
            archs: identical ones are evaluated once.
            progress: called as often as there are distinct archs, while their batches go through.

        Raises:
            ArchError: not archs of the supernet's space.
        """
        found = [next(iter(metrics.values())) for metrics in self.metrics(archs, self._objective, progress)]
        return np.array(found, dtype=np.float64)

    def metrics(
        self, archs: npt.ArrayLike, meter: NewMeter, progress: Progress | None = None
    ) -> list[dict[str, float]]:
        """Archs (N, L) -> what a meter gathers of each. Else as calling it.

        Raises:
            ArchError: not archs of the supernet's space.
        """
        distinct, which = np.unique(self._supernet.space.check(archs), axis=0, return_inverse=True)
        meters = [meter(_device(self._supernet)) for _ in distinct]
        batches_per_arch = len(self._recalibration) + len(self._labels)
        batches = 0

        def count(arch: int, outputs: torch.Tensor) -> None:
            nonlocal batches
            batches += 1
            if progress is not None and batches % batches_per_arch == 0:
                progress("evaluating", batches // batches_per_arch, len(meters), "")

        def add(labels: torch.Tensor, arch: int, outputs: torch.Tensor) -> None:
            meters[arch].add(outputs, labels)
            count(arch, outputs)

        def recalibration() -> Iterator[tuple[torch.Tensor, End]]:
            return ((self._input(pixels), count) for pixels in self._recalibration)

        def images() -> Iterator[tuple[torch.Tensor, End]]:
            for pixels, labels in zip(self._pixels, self._labels, strict=True):
                yield self._input(pixels), partial(add, labels.to(_device(self._supernet)))

        self._shared.run(distinct.tolist(), recalibration, images)
        found = [gathered.metrics() for gathered in meters]
        return [found[index] for index in which.flatten().tolist()]

    def derive(self, arch: Arch | Sequence[int]) -> Network:
        """``arch``'s standalone network with the weights and the BN statistics that it was evaluated with.

        Raises:
            ArchError: not an arch of the supernet's space.
        """
        with self._recalibrated(arch):
            return inherit(self._supernet, arch)

    def logits(self, arch: Arch | Sequence[int], x_NCHW: torch.Tensor) -> torch.Tensor:
        """What the supernet's path of ``arch`` says to normalised inputs, with its own BN statistics: (N, classes).

        Raises:
            ArchError: not an arch of the supernet's space.
        """
        with self._recalibrated(arch), torch.inference_mode():
            return self._supernet(x_NCHW.to(_device(self._supernet)), arch)  # type: ignore[no-any-return]

    def _recalibrated(self, arch: Arch | Sequence[int]) -> AbstractContextManager[None]:
        return recalibrated(
            self._supernet.path(arch), partial(self._supernet, arch=arch), map(self._input, self._recalibration)
        )

    def _input(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._data.normalize(pixels.to(_device(self._supernet)))
