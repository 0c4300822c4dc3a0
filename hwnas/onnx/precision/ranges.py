"""Ranges of activations for int8, from running the fp32 model on images.

A range is a choice between clipping the few large values and rounding all others coarsely; Wu et al. (arXiv
2004.09602, §5.2) compare the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import ModelProto, helper

from hwnas.arrays import Array, Values
from hwnas.errors import ModelError, first_line
from hwnas.onnx.model import port_of
from hwnas.records.target import RangeRule

Ranges = dict[str, tuple[float, float]]
"""{tensor: (least, greatest) value that is kept}; zero lies between them."""

_BINS = 2048
_SAMPLE = 1 << 18  # values of a tensor that the error is taken of
_SHARES = np.linspace(0.1, 1.0, 46)  # of a range's end that the search for the least error tries


def calibrate(
    proto: ModelProto, names: Sequence[str], feeds: Sequence[Sequence[Array]], rule: RangeRule, *, signed: bool
) -> Ranges:
    """The range of each float of an fp32 model, an input or a node's result, on ``feeds``: arrays for the inputs each.

    Those of ``mse`` are symmetric around zero where they are to be ``signed``.

    Raises:
        ModelError: ONNX Runtime can't run the model; no feeds, not of its size, or a value on them isn't finite.
    """
    if not feeds:
        raise ModelError("nothing to calibrate with; give at least one input")
    run = watched(proto, names)
    rng = np.random.default_rng(0)
    ends: Ranges = dict.fromkeys(names, (0.0, 0.0))
    samples: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    for feed in feeds:
        for name, values in run(feed).items():
            low, high = float(values.min()), float(values.max())
            if not np.isfinite([low, high]).all():
                raise ModelError(f"can't calibrate: {name} isn't finite on the inputs; check them and the weights")
            ends[name] = min(ends[name][0], low), max(ends[name][1], high)
            if rule == "mse":
                samples[name].append(_sample(values.reshape(-1), -(-_SAMPLE // len(feeds)), rng))
    if rule == "minmax":
        return ends
    return {name: _least_error(np.concatenate(samples[name]), *ends[name], signed) for name in names}


def watched(proto: ModelProto, names: Sequence[str]) -> Callable[[Sequence[Array]], dict[str, Array]]:
    """A call that gives the values of tensors, inputs or nodes' results, on an array for each of the inputs.

    Raises:
        ModelError: ONNX Runtime can't run the model; from the call, it doesn't take such arrays.
    """
    showing = ModelProto()
    showing.CopyFrom(proto)
    shown = {output.name for output in proto.graph.output} | {entry.name for entry in proto.graph.input}
    showing.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in shown)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(showing.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes share no public base
        raise ModelError(f"can't run the model to see its values: {first_line(error)}") from None
    ports = [port_of(entry) for entry in proto.graph.input]
    entries = [port.name for port in ports]
    computed = [name for name in names if name not in entries]

    def run(feed: Sequence[Array]) -> dict[str, Array]:
        for port, array in zip(ports, feed, strict=True):
            fits = len(array.shape) == len(port.shape) and all(
                size in (0, given) for size, given in zip(port.shape, array.shape, strict=True)
            )
            if not fits or array.dtype != port.dtype:
                takes = f"{port.dtype} {'x'.join(str(size or '?') for size in port.shape)}"
                raise ModelError(f"can't calibrate: {port.name} is {takes}, got {array.dtype} {array.shape}")
        known = dict(zip(entries, feed, strict=True))
        given = session.run(computed, known) if computed else []  # no name at all would mean all outputs
        return {name: known[name] for name in entries if name in names} | dict(zip(computed, given, strict=True))

    return run


def _sample(values: npt.NDArray[np.float32], size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return values if values.size <= size else values[rng.integers(values.size, size=size)]


def _least_error(sample: npt.NDArray[np.float32], low: float, high: float, signed: bool) -> tuple[float, float]:
    """The ends between ``low`` and ``high`` with the least square error of the sample in 8 bits."""
    counts, edges = np.histogram(sample, _BINS, (low, max(high, low + 1e-30)))
    kept = counts > 0
    centres, weights = ((edges[1:] + edges[:-1]) / 2)[kept], counts[kept].astype(np.float64)

    def best(lows: Values, highs: Values) -> int:
        steps = np.maximum(highs - lows, 1e-30)[:, None] / (254 if signed else 255)
        zeros = np.round(-lows[:, None] / steps)
        integers = np.clip(np.round(centres / steps) + zeros, 0, np.round((highs - lows)[:, None] / steps))
        return int(np.argmin(np.square((integers - zeros) * steps - centres) @ weights))

    if signed:
        tried = max(-low, high) * _SHARES
        most = float(tried[best(-tried, tried)])
        return -most, most
    for _ in range(2):  # one end, then the other, and once more
        highs, lows = high * _SHARES, low * _SHARES
        high = float(highs[best(np.full_like(highs, low), highs)])
        low = float(lows[best(lows, np.full_like(lows, high))])
    return low, high
