"""Bytes: of the model file, and of the activations that are alive at one time.

The peak is that of an execution op by op at batch 1 which frees a tensor after its last use, computes activation
functions, SE's product and the residual's addition in place, and needs no scratch space. A runtime's own arena is
larger; what it adds is its own matter (fragmentation, layouts, im2col).
"""

from __future__ import annotations

from functools import singledispatch

from hwnas.errors import ConfigError
from hwnas.prediction.count import cost
from hwnas.prediction.layer_max import LayerMax
from hwnas.prediction.lowered import LayerSum
from hwnas.space.op import Downsample, Head, MBConv, Op, Stabilizer, Stem
from hwnas.space.space import Space

_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_BYTES_PER_MB = 1e6
_INT8_BYTES_PER_CHANNEL = 4 + 4 + 1 + 4 + 4
"""Of a quantized convolution beside its weights: int32 bias, scale and zero point of the weights, and of the bias."""


def model_mb(space: Space, *, precision: str = "fp32", stabilizers: bool = False) -> LayerSum:
    """Size of archs' weights as deployed, BN folded, in MB (10⁶ bytes); the graph around them adds some kilobytes.

    Raises:
        ConfigError: unknown precision.
    """
    size = _bytes_of(precision)
    per_bias = _INT8_BYTES_PER_CHANNEL if precision == "int8" else size

    def of_op(op: Op) -> float:
        counted = cost(op)
        return (counted.weights * size + counted.biases * per_bias) / _BYTES_PER_MB

    return LayerSum(space, of_op, stabilizers=stabilizers)


def peak_activation_mb(space: Space, *, precision: str = "fp32", stabilizers: bool = False) -> LayerMax:
    """Archs (N, L) -> MB (10⁶ bytes) of activations alive at one time, (N,); see the module's docstring.

    Raises:
        ConfigError: unknown precision.
    """
    mb = _bytes_of(precision) / _BYTES_PER_MB
    return LayerMax(space, lambda op: peak_elements(op) * mb, stabilizers=stabilizers)


@singledispatch
def peak_elements(op: Op) -> int:
    """Elements alive at one time while ``op`` computes, its input included; ``peak_elements.register`` adds a kind."""
    raise TypeError(f"no formula is registered for op kind {op.kind!r}; use peak_elements.register")


def _elements(op: Op) -> tuple[int, int, int]:
    """Elements of the input, pixels of the output, elements of the output."""
    channels, height, width = op.out_shape
    return op.c_in * op.h_in * op.w_in, height * width, channels * height * width


@peak_elements.register
def _stem(op: Stem) -> int:
    input_, pixels, output = _elements(op)
    wide = op.width * pixels
    return max(input_ + wide, 2 * wide, wide + output) if op.separable else input_ + output


@peak_elements.register
def _mbconv(op: MBConv) -> int:
    input_, pixels, output = _elements(op)
    kept = input_ if op.residual else 0
    narrow, deep = op.hidden * op.h_in * op.w_in, op.hidden * pixels
    steps = [kept + deep + output]
    if op.expansion == 1:
        steps.append(input_ + deep)
    else:
        steps += [input_ + narrow, kept + narrow + deep]
    if op.se:
        steps.append(kept + deep + op.squeezed + op.hidden)
    return max(steps)


@peak_elements.register(Stabilizer)
@peak_elements.register(Downsample)
def _one_convolution(op: Op) -> int:
    input_, _, output = _elements(op)
    return input_ + output


@peak_elements.register
def _head(op: Head) -> int:
    input_, _, _ = _elements(op)
    wide = op.width * op.h_in * op.w_in
    return max(input_ + wide, wide + op.width, op.width + op.c_out)


def _bytes_of(precision: str) -> int:
    if precision not in _BYTES:
        raise ConfigError(f"sizes are known for {', '.join(_BYTES)}, not for {precision!r}")
    return _BYTES[precision]
