"""fp32 ONNX -> the same network in a target's precision: it lies in the graph, where every runtime sees the same."""

from __future__ import annotations

from hwnas.artifact.target import Target
from hwnas.errors import DataError
from hwnas.runtimes.base import Images
from hwnas.runtimes.half import beyond_half, to_half
from hwnas.runtimes.quantize import Preset, quantize

_WATCHED = 64  # images whose activations are looked at; a margin stands for the others


def in_precision(model: bytes, target: Target, preset: Preset, calibration: Images | None) -> bytes:
    """``model`` as the target's runtime computes it; bf16 is asked of the runtime, its graph is fp32.

    Args:
        model: serialized fp32 ONNX.
        target: with the precision.
        preset: where its runtime wants Q/DQ pairs.
        calibration: normalised images (N, C, H, W) that int8 takes its ranges from, and fp16 what would overflow.

    Raises:
        DataError: int8 without images.
        ModelError: the model can't be had in this precision.
    """
    if target.precision == "fp16":
        return to_half(model, [] if calibration is None else beyond_half(model, calibration[:_WATCHED]))
    if target.precision == "int8":
        if calibration is None or not len(calibration):
            raise DataError(f"target {target.name} needs images to calibrate with; give --data")
        chosen = calibration[: target.quantization.images]
        return quantize(model, [chosen[i : i + 32] for i in range(0, len(chosen), 32)], preset)
    return model
