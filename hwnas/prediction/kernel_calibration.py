"""From kernels timed alone to whole models: what the models that were measured beside them say.

A model's latency is taken to be::

    Σ over classes (scale of the class · Σ of its kernels) + per launch + per MB of weights + fixed

A kernel alone finds its weights in nearer caches than a model of many has them, and what only moves values finds its
input farther off, so each class has a scale of its own; to hand on from node to node takes time as well. All terms are
fitted by ridge regression of the relative error (Hoerl & Kennard, Technometrics 1970): towards scales of 1 and nothing
else, so that few models move them little, and terms that say the same don't fight. How strongly they are held is what
predicts models best that the fit hasn't seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np

from hwnas.arrays import Values
from hwnas.graph.kernel import Kernel
from hwnas.graph.kernel_cost import madds_or_zero, main_node
from hwnas.tables.kernel_table import KernelCalibration, KernelClass, KernelTable, MeasuredKernel, MeasuredModel

LEAST_MODELS = 3
"""Whose kernels all ran alone, so that there is a calibration."""
_CLASSES: tuple[KernelClass, ...] = get_args(KernelClass)
_SCALES_DEVIATION = 0.2
_SHARES_DEVIATION = 0.1
"""What is expected of a scale's distance from 1, and of the share of a model's latency that any other term has."""
_NOISES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Relative deviations of models' latencies from their kernels', of which the best is chosen."""
_NEAR_MB = 16.0
"""A kernel's weights beyond so many are as far off when it is alone."""

_ELEMENTWISE = (
    "Abs", "Add", "BatchNormalization", "Celu", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp", "FastGelu", "Floor",
    "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow",
    "QLinearAdd", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QuickGelu", "Reciprocal", "Relu",
    "Round", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh",
    "ThresholdedRelu", "Where",
)  # fmt: skip


def class_of(kernel: Kernel) -> KernelClass:
    """By what it computes: multiply-adds of convolutions or others, each element by itself, or none of these."""
    if madds_or_zero(kernel):
        return (
            "convolution" if "conv" in main_node(kernel).op.lower() else "product"
        )  # in every domain they are so called
    return "elementwise" if all(node.op in _ELEMENTWISE for node in kernel.own) else "moving"


def far_weights_mb(kernel: Kernel) -> float:
    """MB (10⁶ bytes) of weights that a model has farther off than the kernel alone, and reads too fast to hide it.

    A convolution computes so much with each of its weights that they come in time.
    """
    if class_of(kernel) != "product":
        return 0.0
    return min(sum(value.bytes for value in kernel.values if value.constant) / 1e6, _NEAR_MB)


def in_model_ms(calibration: KernelCalibration, kernel: Kernel, alone_ms: float) -> float:
    """What a kernel adds to a model."""
    own_ms = calibration.scales[class_of(kernel)] * alone_ms
    return max(own_ms + calibration.per_launch_ms + calibration.per_weight_mb_ms * far_weights_mb(kernel), 0.0)


def calibrated(table: KernelTable) -> KernelTable:
    """The table with a calibration on those of its models whose kernels were all measured; without, of fewer than 3."""
    whole = [model for model in table.models if all(each.kernel in table.by_key for each in model.launches)]
    found = _fit(*_columns(table, whole)) if len(whole) >= LEAST_MODELS else None
    return table.model_copy(update={"calibration": found})


class _Columns(NamedTuple):
    """Of N models: what each term is multiplied with, (N, classes + 3), and their latencies in ms, (N,)."""

    terms: Values
    measured_ms: Values


def _columns(table: KernelTable, models: Sequence[MeasuredModel]) -> _Columns:
    rows = []
    for model in models:
        launched = [table.by_key[each.kernel] for each in model.launches if each.kernel]
        rows.append([*_sums_ms(launched), len(launched), sum(far_weights_mb(each.kernel) for each in launched), 1.0])
    return _Columns(np.array(rows, float), np.array([model.p50_ms for model in models]))


def _sums_ms(kernels: Sequence[MeasuredKernel]) -> list[float]:
    sums_ms = dict.fromkeys(_CLASSES, 0.0)
    for each in kernels:
        sums_ms[class_of(each.kernel)] += each.p50_ms
    return list(sums_ms.values())


def _fit(terms: Values, measured_ms: Values) -> KernelCalibration:
    from scipy.special import stdtrit

    shares = terms / measured_ms[:, None]  # the target is 1
    expected = np.array([*np.ones(len(_CLASSES)), 0, 0, 0])
    typical = np.sqrt((shares[:, len(_CLASSES) :] ** 2).mean(axis=0))
    deviations = np.array([*np.full(len(_CLASSES), _SCALES_DEVIATION), *_over(_SHARES_DEVIATION, typical)])
    best = min((_ridge(shares, expected, deviations, noise) for noise in _NOISES), key=lambda found: found.mape)
    *scales, per_launch_ms, per_weight_mb_ms, fixed_ms = map(float, best.coefficients)
    return KernelCalibration(
        scales=dict(zip(_CLASSES, scales, strict=True)),
        per_launch_ms=per_launch_ms,
        per_weight_mb_ms=per_weight_mb_ms,
        fixed_ms=fixed_ms,
        error_90=float(stdtrit(len(measured_ms) - 1, 0.95) * np.sqrt((best.held_out**2).mean())),
        held_out_mape=best.mape,
        models=len(measured_ms),
    )


def _over(share: float, typical: Values) -> Values:
    return np.divide(share, typical, out=np.zeros_like(typical), where=typical > 0)


@dataclass(frozen=True, eq=False)
class _Ridge:
    """Coefficients, and each model's relative error when it is held out."""

    coefficients: Values
    held_out: Values

    @property
    def mape(self) -> float:
        return float(np.abs(self.held_out).mean())


def _ridge(shares: Values, expected: Values, deviations: Values, noise: float) -> _Ridge:
    scaled = shares * deviations
    inverse = np.linalg.solve(scaled.T @ scaled + noise**2 * np.eye(scaled.shape[1]), scaled.T)
    left = 1 - shares @ expected
    found = inverse @ left
    leverage = np.einsum("ij,ji->i", scaled, inverse)
    return _Ridge(expected + found * deviations, (scaled @ found - left) / (1 - leverage))
