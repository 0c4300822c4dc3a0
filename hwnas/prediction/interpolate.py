"""`KernelModel`: latency of Ops that no table has, from those of their kind that one has.

One model per kind of Op (and activation), see :mod:`hwnas.prediction.regression`. Its costs are what an op computes and
moves; its coordinates are the Op's own fields, log2 of them, so that a doubling is one step whatever is doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from math import prod
from typing import NamedTuple

import numpy as np

from hwnas.arrays import Values
from hwnas.errors import MissingOpError, TableError, counted
from hwnas.graph.count import cost
from hwnas.graph.graph import Op, channels, field_types
from hwnas.ops.mbconv import MBConv
from hwnas.prediction.regression import MINIMUM_ENTRIES, LatencyRegression


class Estimate(NamedTuple):
    """A modelled latency: ms, and the relative half-width of its 90 % prediction interval."""

    latency_ms: float
    error_90: float


class KernelModel:
    """Models of the kinds that have ``MINIMUM_ENTRIES`` entries or more; see the module's docstring.

    Args:
        latency_ms: of Ops timed alone on one device; entries of several tables (other resolutions, other spaces) may be
            put together.

    Raises:
        TableError: a latency isn't a positive number.
    """

    def __init__(self, latency_ms: Mapping[Op, float]) -> None:
        by_key: dict[tuple[str, ...], list[Op]] = {}
        for op, ms in latency_ms.items():
            if not (ms > 0 and np.isfinite(ms)):
                raise TableError(f"[{op}] takes {ms} ms; a latency must be a positive number")
            by_key.setdefault(_key(op), []).append(op)
        self._entries = {key: len(ops) for key, ops in by_key.items()}
        self._models: dict[tuple[str, ...], LatencyRegression] = {}
        for key, ops in by_key.items():
            if len(ops) >= MINIMUM_ENTRIES:
                widths = np.array([(channels(op.in_shapes[0]), channels(op.out_shape)) for op in ops])
                same = np.unique(widths, axis=0, return_inverse=True)[1].ravel()
                measured_ms = np.array([latency_ms[op] for op in ops])
                self._models[key] = LatencyRegression.fit(*_arrays(ops), measured_ms, groups=same)

    def predict_ms(self, op: Op) -> Estimate:
        """Latency of an op timed alone.

        Raises:
            MissingOpError: too few entries of the op's kind.
        """
        key = _key(op)
        if key not in self._models:
            raise MissingOpError(
                f"no model for [{op}]: {counted(self._entries.get(key, 0), 'entry')} of {' '.join(key)}, "
                f"{MINIMUM_ENTRIES} are needed; profile this op or more of its kind"
            )
        latency_ms, error_90 = self._models[key].predict(*_arrays([op]))
        return Estimate(float(latency_ms[0]), float(error_90[0]))


@singledispatch
def costs(op: Op) -> tuple[float, ...]:
    """What latency is proportional to: a call, multiply-adds, elements moved, weights.

    Register a kind's own with ``costs.register`` where it has parts that run at different speeds.
    """
    counted = cost(op)
    return 1, counted.madds, prod(op.in_shapes[0]), prod(op.out_shape), counted.params


@costs.register
def _mbconv(op: MBConv) -> tuple[float, ...]:
    _, height, width = op.out_shape
    pixels_in, pixels_out = op.h_in * op.w_in, height * width
    return (
        1,
        op.c_in * op.hidden * pixels_in * (op.expansion != 1),  # multiply-adds of expand, depthwise, project
        op.hidden * op.kernel**2 * pixels_out,
        op.hidden * op.c_out * pixels_out,
        op.c_in * pixels_in,  # elements of input, hidden before and after the depthwise, output
        op.hidden * pixels_in,
        op.hidden * pixels_out,
        op.c_out * pixels_out,
        cost(op).params,
        op.se,  # SE: its calls, its passes over the hidden elements, its weights
        op.se * op.hidden * pixels_out,
        op.se * 2 * op.hidden * op.squeezed,
    )


def _key(op: Op) -> tuple[str, ...]:
    """The kind and whatever else of an Op isn't a number, as its activation."""
    return op.kind, *(str(getattr(op, name)) for name, kind in field_types(type(op)).items() if kind == "str")


def _coordinates(op: Op) -> list[float]:
    found: list[float] = []
    for name, kind in field_types(type(op)).items():
        value = getattr(op, name)
        if kind == "bool":
            found.append(float(value))
        elif kind != "str":
            found += np.log2(np.atleast_1d(value)).tolist()
    return found


def _arrays(ops: list[Op]) -> tuple[Values, Values]:
    return np.array([costs(op) for op in ops], float), np.array([_coordinates(op) for op in ops])
