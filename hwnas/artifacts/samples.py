"""Inputs of a network, and what it gives for them, whatever it takes at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hwnas.arrays import Array
from hwnas.errors import ModelError
from hwnas.records.network import NetworkRecord
from hwnas.records.target import Batch
from hwnas.runtimes.base import Session

_CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Of each input an array (N, …), one row for each sample.

    Attributes:
        arrays: in the order of the network's inputs.
        batch: that the network itself fixes, None where it takes any.
        whole: whether a sample is all that an inference takes; else its rows make up batches.
    """

    arrays: tuple[Array, ...]
    batch: int | None = None
    whole: bool = False

    @classmethod
    def of(cls, network: NetworkRecord, *arrays: Array) -> Samples:
        """Samples of a network whose ``takes`` the rows are."""
        return cls(arrays=arrays, batch=network.batch, whole=network.whole)

    def __len__(self) -> int:
        return next(map(len, self.arrays), 1)  # of a network that takes nothing

    def __getitem__(self, part: slice) -> Samples:
        return replace(self, arrays=tuple(array[part] for array in self.arrays))

    def feeds(self, batch: Batch) -> Iterator[tuple[Array, ...]]:
        """What single inferences take: as many as fit, then what remains; filled up where the batch is fixed."""
        return self._feeds(batch.fixed or min(batch.max, _CHUNK), full=batch.fixed is not None)

    def own_feeds(self, rows: int) -> list[tuple[Array, ...]]:
        """The same for the network's own graph: up to so many rows at once where it leaves the batch open."""
        return list(self._feeds(self.batch or rows, full=self.batch is not None))

    def _feeds(self, size: int, full: bool) -> Iterator[tuple[Array, ...]]:
        if self.whole:
            yield from (tuple(map(np.asarray, rows)) for rows in zip(*self.arrays, strict=True))
            return
        padding = -len(self) % size if full else 0
        padded = [np.concatenate([array, array[:1].repeat(padding, axis=0)]) for array in self.arrays]
        for start in range(0, len(padded[0]), size):
            yield tuple(array[start : start + size] for array in padded)

    def one(self, batch: int) -> tuple[Array, ...]:
        """What one inference of so many samples takes: the first sample, as often as needed."""
        return next(iter(self[:1]._feeds(batch, full=True)))

    def run(self, session: Session, batch: Batch) -> tuple[Array, ...]:
        """A session's outputs, of each an array (N, …).

        Raises:
            ModelError: the sizes of an output depend on what goes in.
        """
        given = [session.run(feed) for feed in self.feeds(batch)]
        try:
            if self.whole:
                return tuple(np.stack(each) for each in zip(*given, strict=True))
            return tuple(np.concatenate(each)[: len(self)] for each in zip(*given, strict=True))
        except ValueError:
            raise ModelError("the sizes of an output depend on what goes in: files can't be held against it") from None
