"""The NVIDIA GPU in this machine, Jetsons included."""

from __future__ import annotations

from hwnas.runtimes.base import nvidia_gpu


def gpu_here() -> tuple[str, str] | None:
    """Name and compute capability (as ``86``) of the first NVIDIA GPU here, None where there is none.

    By the driver's own tool. Jetsons have none, or one that tells no capability; there PyTorch is asked.
    """
    told = nvidia_gpu()
    if told and told[1].isdecimal():
        return told
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), "".join(map(str, torch.cuda.get_device_capability()))
