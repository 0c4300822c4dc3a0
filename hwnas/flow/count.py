"""``count``: what an arch computes and holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.graph.count import Count
from hwnas.graph.count import count as count_ops
from hwnas.prediction.lowered import model_mb, peak_activation_mb
from hwnas.space.arch import Arch, parse_arch


@dataclass(frozen=True)
class ArchCount:
    """Of an arch with its stabilizers dropped, in fp32.

    Attributes:
        arch: what was counted.
        count: multiply-adds (batch 1) and parameters, in all and of each op.
        model_mb: weights.
        peak_activation_mb: most activations at one time.
    """

    arch: Arch
    count: Count
    model_mb: float
    peak_activation_mb: float


def count(arch: Arch | str | Path, *, resolution: int | None = None, classes: int | None = None) -> ArchCount:
    """Count an arch, or what a person types for one (see :func:`hwnas.space.arch.parse_arch`).

    Args:
        arch: which.
        resolution: of its input in pixels; the space's own, unless given. An `Arch` has its own.
        classes: outputs, likewise.

    Raises:
        ArchError, SpaceError: no such arch.
    """
    found = arch if isinstance(arch, Arch) else parse_arch(str(arch), resolution, classes)
    size_mb, peak_mb = (float(cost(found.space)(found.choices)[0]) for cost in (model_mb, peak_activation_mb))
    return ArchCount(found, count_ops(found.space.graph(found.choices)), size_mb, peak_mb)
