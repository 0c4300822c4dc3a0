"""Bytes of an arch: of its model file, and of the activations that are alive at one time."""

from __future__ import annotations

from hwnas.errors import ConfigError
from hwnas.graph.count import cost, peak_elements
from hwnas.graph.graph import Op
from hwnas.prediction.lowered import LayerMax, LayerSum
from hwnas.space.space import Space

_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_BYTES_PER_MB = 1e6
_INT8_BYTES_PER_CHANNEL = 4 + 4 + 1 + 4 + 4
"""Of a quantized convolution beside its weights: int32 bias, scale and zero point of the weights, and of the bias."""


def model_mb(space: Space, *, precision: str = "fp32") -> LayerSum:
    """Size of archs' weights as deployed, BN folded, in MB (10⁶ bytes); the graph around them adds some kilobytes.

    Raises:
        ConfigError: unknown precision.
    """
    size = _bytes_of(precision)
    per_bias = _INT8_BYTES_PER_CHANNEL if precision == "int8" else size

    def of_op(op: Op) -> float:
        counted = cost(op)
        return (counted.weights * size + counted.biases * per_bias) / _BYTES_PER_MB

    return LayerSum(space, of_op)


def peak_activation_mb(space: Space, *, precision: str = "fp32") -> LayerMax:
    """Archs (N, L) -> MB (10⁶ bytes) of activations alive at one time, (N,); see `hwnas.graph.count.peak_elements`.

    Raises:
        ConfigError: unknown precision.
    """
    mb = _bytes_of(precision) / _BYTES_PER_MB
    return LayerMax(space, lambda op: peak_elements(op) * mb)


def _bytes_of(precision: str) -> int:
    if precision not in _BYTES:
        raise ConfigError(f"sizes are known for {', '.join(_BYTES)}, not for {precision!r}")
    return _BYTES[precision]
