"""PyTorch in this process: how many threads it computes with, and what becomes of memory that it frees."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_TRIM_BYTES, _MMAP_BYTES = 2**31 - 1, 2**30


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the rest of the process; elsewhere nothing happens.

    By default it hands large blocks back to the system at once. Every activation of every step is then new memory,
    which the kernel must clear first: up to a fifth of the time of a training step on a CPU, where batches are large.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, PyTorch computes with ``count`` threads of the CPU; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
