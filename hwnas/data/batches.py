"""Training batches: order, augmentation and normalisation, each a function of (seed, epoch, step) alone.

Nothing is carried from one batch to the next, so a resumed training has no generator to restore here, a process of a
data-parallel training has its share of the very batch that one process would have, and workers change no byte.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from hwnas.data.augment import Augment, draw, resize_px
from hwnas.data.images import SourceImages
from hwnas.data.load import Data
from hwnas.errors import ConfigError, DataError

_ORDER, _AUGMENT = 0, 1


def generator_for(*words: int) -> torch.Generator:
    """A generator whose stream depends on all of ``words`` and on nothing else."""
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> 1))


class Batches:
    """The training batches of a data set.

    Args:
        data: whose train part; loaded with the ``resize_px`` that ``augment`` takes.
        batch: images in each, over all processes; what is left over at the end of an epoch is dropped.
        augment: random shifts or crops, with flips where the data allows them, or nothing.
        seed: decides order and augmentation.
        rank, world: this process loads the ``rank``-th of ``world`` equal shares of each batch.
        workers: processes that decode ahead; for data in memory there is nothing to decode, and none is started.

    Raises:
        DataError: there are fewer train images than one batch, or they aren't of the size that ``augment`` takes.
        ConfigError: the batch can't be divided among the processes.
    """

    def __init__(
        self,
        data: Data,
        batch: int,
        *,
        augment: Augment,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        count = len(data.train.labels)
        if count < batch:
            raise DataError(f"{data.spec} has {count} images to train on, fewer than one batch of {batch}; lower batch")
        if data.resize_px != (wanted := resize_px(augment, data.resolution)):
            raise DataError(
                f"{data.spec} was loaded with resize_px {data.resize_px}; augment {augment!r} takes {wanted}"
            )
        if batch % world:
            raise ConfigError(f"batch {batch} can't be divided among {world} processes; take a multiple of {world}")
        self._data, self._batch, self._augment, self._seed = data, batch, augment, seed
        self._share = slice(rank * batch // world, (rank + 1) * batch // world)
        self._fill = torch.tensor(data.mean).mul(255).round().to(torch.uint8)
        images = data.uncropped
        self._workers = _Workers(images, workers) if workers and isinstance(images, SourceImages) else None
        self.per_epoch = count // batch

    def order(self, epoch: int) -> torch.Tensor:
        """The shuffled image indices of an epoch, for all processes: (per_epoch, batch)."""
        count = len(self._data.train.labels)
        shuffled = torch.randperm(count, generator=generator_for(self._seed, epoch, 0, _ORDER))
        return shuffled[: self.per_epoch * self._batch].view(self.per_epoch, self._batch)

    def stream(self, epoch: int, first_step: int, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This process's share of each batch of an epoch from ``first_step`` on; see :meth:`view`.

        Workers decode ahead and stay for the next epoch; :meth:`close` ends them. One stream at a time.

        Raises:
            DataError: an image can't be decoded, or a worker died.
        """
        shares = self.order(epoch)[first_step:, self._share]
        if self._workers is None:
            decoded: Iterator[torch.Tensor] = map(self._data.uncropped.pixels, shares)
        else:
            decoded = self._workers.decode(shares, pin=device.type == "cuda")
        for step, (pixels, share) in enumerate(zip(decoded, shares, strict=True), first_step):
            yield self.view(pixels, share, epoch, step, device)

    def close(self) -> None:
        """End the workers, wherever the stream is."""
        if self._workers is not None:
            self._workers.close()

    def view(
        self, pixels: torch.Tensor, indices: torch.Tensor, epoch: int, step: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented and normalised x (B, 3, R, R) float32 of a share's ``pixels``, and its labels (B,), on the device.

        What is random is drawn for the whole batch, whatever the share.
        """
        labels = self._data.train.labels[indices]
        if device.type == "cuda" and not pixels.is_pinned():
            pixels = pixels.pin_memory()
        pixels = pixels.to(device, non_blocking=True)
        generator = generator_for(self._seed, epoch, step, _AUGMENT)
        views = draw(self._augment, self._batch, self._data.resize_px, self._data.mirrors, generator)
        pixels = views.rows(self._share).of(pixels, self._fill, self._data.resolution)
        return self._data.normalize(pixels), labels.to(device, non_blocking=True)


class _Decoder(Dataset[Any]):
    """A row of indices -> pixels, newly skipped images and what went wrong; runs in a worker.

    An error is handed over, not raised: DataLoader would wrap it in the worker's traceback.
    """

    def __init__(self, images: SourceImages) -> None:
        self._images = images
        self._told = images.skipped.count

    def __getitem__(self, indices: list[int]) -> tuple[torch.Tensor | None, list[tuple[str, str]], str | None]:
        pixels, problem = None, None
        try:
            pixels = self._images.pixels(torch.tensor(indices))
        except DataError as error:
            problem = str(error)
        skipped = self._images.skipped.since(self._told)
        self._told += len(skipped)
        return pixels, skipped, problem


class _Workers:
    """Processes that decode rows of images, in the order asked for."""

    def __init__(self, images: SourceImages, count: int) -> None:
        self._images, self._count = images, count
        self._rows: list[list[int]] = []  # what is to be decoded next; the loader holds on to the list itself
        self._loader: DataLoader[Any] | None = None
        self._iterator: Any = None

    def decode(self, rows: torch.Tensor, pin: bool) -> Iterator[torch.Tensor]:
        """Indices (m, n) -> m times uint8 (n, 3, D, D)."""
        self._rows[:] = rows.tolist()
        if self._loader is None:
            self._loader = DataLoader(
                _Decoder(self._images), batch_size=None, sampler=self._rows, collate_fn=_as_it_is,
                num_workers=self._count, persistent_workers=True, pin_memory=pin,
                worker_init_fn=_quiet_when_left,
                multiprocessing_context="spawn",  # a fork of a process with threads may hang
                generator=torch.Generator(),  # else it draws from the global one
            )  # fmt: skip
        try:
            self._iterator = _without_handler(self._loader)
            for pixels, skipped, problem in self._iterator:
                for name, why in skipped:
                    self._images.skipped.add(name, why)
                if problem is not None:
                    raise DataError(problem)
                yield pixels
        except (RuntimeError, OSError, EOFError) as error:  # the latter two where it dies handing pixels over
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise DataError(
                "a process that decodes images died, for want of (shared) memory or of `if __name__ == '__main__':` "
                "in the script; lower workers or batch"
            ) from None

    def close(self) -> None:
        """End the processes."""
        if self._iterator is not None:
            self._iterator._shutdown_workers()  # garbage collection would, but a traceback may hold on to it
        self._loader = self._iterator = None


def _quiet_when_left(_: int) -> None:
    """In a worker: a main process that goes while it takes pixels over, as Ctrl-C makes it, is no traceback's worth."""
    tell = sys.excepthook

    def tell_others(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError | EOFError):
            tell(kind, error, trace)

    sys.excepthook = tell_others


def _without_handler(loader: DataLoader[Any]) -> Iterator[Any]:
    """An iterator whose dead workers are told of where it is asked for more, within 5 s, and nowhere else.

    DataLoader leaves a SIGCHLD handler behind that raises wherever the program happens to be, also after the loader is
    closed and for any other child.
    """
    if not hasattr(signal, "SIGCHLD"):
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    if signal.getsignal(signal.SIGCHLD) is not before:
        signal.signal(signal.SIGCHLD, before)
    return iterator


def _as_it_is(item: Any) -> Any:
    return item
