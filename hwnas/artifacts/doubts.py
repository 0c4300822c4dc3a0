"""What images and weights say against a file or its checks: told where it is shipped, and named where it is refused."""

from __future__ import annotations

import math

import numpy as np

from hwnas.arrays import Array, Values
from hwnas.artifacts.precision import images_for_ranges
from hwnas.artifacts.samples import Samples
from hwnas.errors import counted
from hwnas.onnx.precision.half import lost_weights
from hwnas.records.target import Target

_ALLOWED_LOSS = 0.05  # of accuracy, on other images of the same classes
_SHIFT = 0.5  # of means, in deviations
_RATIO = 2.0  # of deviations
_IMAGES_NDIM = 4


def contradicted(before: float, recorded: float, images: int) -> str | None:
    """That so many ``images``, of which PyTorch has ``before`` right, aren't those of a model of ``recorded`` accuracy.

    The difference is more than three standard errors, and a loss that other images of the same classes may cost.
    """
    error = math.sqrt(max(recorded * (1 - recorded), 1 / images) / images)
    if before >= recorded - _ALLOWED_LOSS - 3 * error:
        return None
    return (
        f"the model records {recorded:.2%} accuracy, and PyTorch has {before:.2%} of these {counted(images, 'image')} "
        "right: images or labels aren't those of the model; check the data"
    )


def doubts_of(target: Target, calibration: Samples, checks: Samples) -> tuple[str, ...]:
    """What is wrong with what there is to calibrate with, beside what the checks are made with."""
    found = []
    wanted = target.quantization.images
    if target.precision == "int8" and (taken := images_for_ranges(len(calibration), target)) < wanted:
        there = f"of {counted(len(calibration), 'train image')} a quarter is kept for trials"
        found.append(
            f"ranges come from {counted(taken, 'image')} where {wanted:,} are wanted: {there}; give more train images"
        )
    if target.precision in ("int8", "fp16"):
        pairs = zip(calibration.arrays, checks.arrays, strict=True)
        found += [words for pair in pairs if pair[0].ndim == _IMAGES_NDIM and (words := _unlike(*pair))]
    return tuple(found)


def _unlike(calibration: Array, images: Array) -> str | None:
    """That images to calibrate with are darker, brighter or flatter than those of the checks."""
    (mean, deviation), (there, spread) = _brightness(calibration), _brightness(images)
    larger, smaller = np.maximum(deviation, spread), np.maximum(np.minimum(deviation, spread), 1e-6)
    if (np.abs(mean - there) <= _SHIFT * larger).all() and (larger <= _RATIO * smaller).all():
        return None
    return (
        f"images to calibrate with differ from those of the checks: mean {mean.mean():.2f} and deviation "
        f"{deviation.mean():.2f} when normalised, there {there.mean():.2f} and {spread.mean():.2f}"
    )


def _brightness(images: Array) -> tuple[Values, Values]:
    """Mean and deviation of each channel."""
    return images.mean(axis=(0, 2, 3), dtype=np.float64), images.std(axis=(0, 2, 3), dtype=np.float64)


def underflow(model: bytes, half: bytes) -> str | None:
    """That fp16 has lost weights of the fp32 ``model``, in words."""
    lost = lost_weights(model, half)
    if not lost:
        return None
    name = max(lost, key=lost.__getitem__)
    others = f" (and of {counted(len(lost) - 1, 'other layer')})" if len(lost) > 1 else ""
    return f"fp16 underflow: {lost[name]:.0%} of the weights of {name}{others} are too small for it; use fp32 or bf16"
