"""fp32 ONNX -> the same network in a target's precision: it lies in the graph, where every runtime sees the same."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Images
from hwnas.artifacts.formats.base import Format
from hwnas.artifacts.keep_float import best_kept
from hwnas.errors import DataError
from hwnas.onnx.precision.half import beyond_half, to_half
from hwnas.onnx.precision.int8 import quantize_by, ranges_of
from hwnas.records.target import Target

_BATCH_ELEMENTS = 1 << 20  # of images; all activations of a batch are in memory together

_WATCHED = 64  # images whose activations are looked at; a margin stands for the others


def in_precision(
    model: bytes, target: Target, kind: Format, calibration: Images | None
) -> tuple[bytes, tuple[str, ...]]:
    """``model`` as the target's runtime computes it; bf16 is asked of the runtime, its graph is fp32.

    Args:
        model: serialized fp32 ONNX.
        target: with the precision.
        kind: the target's format.
        calibration: normalised images (N, C, H, W) that int8 takes its ranges from, and fp16 what would overflow; a
            quarter of them checks int8.

    Returns:
        The graph, serialized; notes for people on how it came about.

    Raises:
        DataError: int8 without images, or with images that tell no ranges.
        ModelError: the model can't be had in this precision.
    """
    if target.precision == "fp16":
        wide = [] if calibration is None else beyond_half(model, calibration[:_WATCHED])
        notes = (f"kept in fp32, since fp16 would overflow: {', '.join(wide)}",) if wide else ()
        return to_half(model, wide), notes
    if target.precision == "int8":
        return _quantized(model, target, kind, calibration)
    return model, ()


def _quantized(model: bytes, target: Target, kind: Format, calibration: Images | None) -> tuple[bytes, tuple[str, ...]]:
    if calibration is None or not len(calibration):
        raise DataError(f"target {target.name} needs images to calibrate with; give --data")
    if not np.isfinite(calibration).all():
        raise DataError(f"target {target.name}: images to calibrate with hold NaN or infinity; check the data")
    if np.ptp(calibration, axis=(2, 3)).max() == 0:
        raise DataError(f"target {target.name}: every image to calibrate with is of one colour; give photographs")
    wanted, preset = target.quantization, kind.preset(target)
    checks = max(1, len(calibration) // 4)
    taken = calibration[: min(wanted.images, max(1, len(calibration) - checks))]
    step = max(1, _BATCH_ELEMENTS // taken[0].size)
    batches = [taken[start : start + step] for start in range(0, len(taken), step)]
    ranges = ranges_of(model, batches, preset, wanted.ranges)
    note = f"activation ranges by {wanted.ranges} from {len(taken)} images"
    if wanted.keep_float == "auto":
        graph, why = best_kept(model, ranges, target, kind, calibration[-checks:])
        return graph, (note, why)
    graph = quantize_by(ranges, model, preset, wanted.keep_float)
    return graph, (note, f"kept in float: {' + '.join(wanted.keep_float) or 'nothing'}, as asked")
