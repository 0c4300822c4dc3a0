"""BN in eval mode is a scale and a shift per channel: they go into the layer in front of it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from hwnas.onnx.optimize.edit import Array, Edit, Rewritten, attribute, of_kind

_LAYERS = ("Conv", "ConvTranspose", "Gemm")


def fold_batchnorm(model: ModelProto) -> Rewritten | None:
    """BatchNormalization behind a Conv, ConvTranspose or Gemm of constant weights that it alone reads -> into it."""
    edit = Edit(model)
    for norm in of_kind(edit, "BatchNormalization"):
        layer = edit.giver(norm.input[0])
        if layer is None or layer.op_type not in _LAYERS or not edit.alone(norm.input[0]):
            continue
        parts, line = _weights(edit, layer), _line(edit, norm)
        if parts is None or line is None:
            continue
        (weight, bias), (scale, shift) = parts, line
        folded = bias * scale + shift
        edit.set_constant(layer, 1, _scaled(layer, weight, scale).astype(np.float32))
        edit.set_constant(layer, 2, folded.astype(np.float32), like=f"{layer.input[1]}.bias")
        if layer.op_type == "Gemm":
            edit.set_attribute(layer, "beta", 1.0)
        edit.drop(norm, norm.input[0])
    return edit.done()


def _weights(edit: Edit, layer: NodeProto) -> tuple[Array, Array] | None:
    """Weight and bias, the latter as it is added: (C,) or one number."""
    weight = edit.constant(layer.input[1])
    given = layer.input[2] if len(layer.input) > 2 else ""
    bias = edit.constant(given) if given else np.zeros(1, np.float32)
    if weight is None or bias is None or weight.dtype != np.float32 or bias.shape[:-1] not in ((), (1,)):
        return None
    return weight, bias.reshape(-1) * attribute(layer, "beta", 1.0)


def _line(edit: Edit, norm: NodeProto) -> tuple[Array, Array] | None:
    """Scale and shift (C,), in float64, so that weights are rounded once."""
    known = [array.astype(np.float64) for name in norm.input[1:5] if (array := edit.constant(name)) is not None]
    if (
        len(known) < 4
        or attribute(norm, "training_mode", 0)
        or not attribute(norm, "spatial", 1)
        or any(norm.output[1:])
    ):
        return None
    gamma, beta, mean, variance = known
    spread = variance + attribute(norm, "epsilon", 1e-5)
    if not (spread > 0).all():
        return None
    scale = gamma / np.sqrt(spread)
    return scale, beta - mean * scale


def _scaled(layer: NodeProto, weight: Array, scale: Array) -> Array:
    """``weight`` with each output channel multiplied by its ``scale``."""
    if layer.op_type == "Gemm":
        return weight * (scale[:, None] if attribute(layer, "transB", 0) else scale)
    if layer.op_type == "Conv":
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    groups = attribute(layer, "group", 1)  # of ConvTranspose: (inputs, outputs of a group, ...)
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(groups, inputs // groups, outputs, -1) * scale.reshape(groups, 1, outputs, 1)
    return grouped.reshape(weight.shape)
