"""The NVIDIA GPU in this machine, and timing work on it by its own clock, through PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hwnas.runtimes.base import nvidia_gpu


def gpu_here() -> tuple[str, str] | None:
    """As :func:`hwnas.runtimes.base.nvidia_gpu`, and on Jetsons too.

    The driver's tool is absent there, or tells no capability; so PyTorch is asked.
    """
    told = nvidia_gpu()
    if told and told[1].isdecimal():
        return told
    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), "".join(map(str, torch.cuda.get_device_capability()))


def timed_by_events(launch: Callable[[], object]) -> Callable[[], float]:
    """A call that does what ``launch`` puts on the GPU's current stream, waits, and returns the GPU's nanoseconds."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def call() -> float:
        start.record()
        launch()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end) * 1e6)

    return call


class CudaGraph:
    """What ``launch`` puts on the GPU, recorded once and then launched as one: without the host's cost per kernel."""

    def __init__(self, launch: Callable[[], object]) -> None:
        self._launch = launch  # it owns the memory that the recorded kernels read and write
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their algorithms before anything is recorded
                launch()
        side.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            launch()

    def __call__(self) -> None:
        self._graph.replay()
