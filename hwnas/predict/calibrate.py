"""From sums of isolated ops to whole networks, fitted on measured ones: ``scale · Σ + per_op_ms · n + fixed_ms``.

An op timed alone pays for entering and leaving the runtime, and for layouts that neighbours share in a whole network; a
network pays for dispatching each op, and once for itself. Which of these terms matter differs by runtime, so they are
chosen by how well networks are predicted that the fit hasn't seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from hwnas.errors import TableError
from hwnas.predict.depth import depth
from hwnas.predict.lowered import LayerSum
from hwnas.space.space import Space
from hwnas.tables.table import Calibration, LatencyTable

Floats = npt.NDArray[np.float64]

_CHOICES_OF_TERMS = ((0,), (0, 2), (0, 1), (0, 1, 2))
"""Indices into the columns of :func:`terms`, the simplest first."""
_NETWORKS_PER_TERM = 5
_EXACT = 1e-9
"""A relative error below which there is nothing to make better."""


def terms(sums_ms: Floats, ops: Floats) -> Floats:
    """What a calibration is linear in: Σ, the number of ops, and 1: (N, 3)."""
    return np.stack([sums_ms, ops, np.ones(len(sums_ms))], axis=1)


def calibrate(table: LatencyTable, space: Space) -> LatencyTable:
    """The same table with a calibration fitted on its own measured networks.

    Raises:
        TableError: the table has fewer than 3 networks that its ops can predict, or isn't of this space.
    """
    if table.space is None or table.space.fingerprint != space.fingerprint:
        source = table.space.source if table.space else "no space"
        raise TableError(f"the table was made for {source}, not for {space.name}; its networks don't fit")
    networks = measured_networks(table, space)
    if len(networks.measured_ms) < 3:
        raise TableError(f"a calibration needs 3 measured networks, the table has {len(networks.measured_ms)}")
    return replace(table, calibration=fit(*networks))


class Networks(NamedTuple):
    """Of N measured networks the sums of their ops, the numbers of their ops, and their latencies: (N,) each."""

    sums_ms: Floats
    ops: Floats
    measured_ms: Floats


def measured_networks(table: LatencyTable, space: Space) -> Networks:
    """The networks that were measured beside a table's ops, those left out that have an op which couldn't be run."""
    whole = [n for n in table.networks if not table.failed.keys() & set(space.lower(n.choices))]
    archs = np.array([network.choices for network in whole], dtype=np.int64).reshape(len(whole), space.num_layers)
    sums_ms = LayerSum(space, lambda op: table.ops[op].p50_ms if op in table.ops else np.nan)(archs)
    return Networks(sums_ms, depth(space)(archs), np.array([network.p50_ms for network in whole]))


def fit(sums_ms: Floats, ops: Floats, measured_ms: Floats) -> Calibration:
    """Calibrate on N ≥ 3 networks.

    Args:
        sums_ms: of each network's ops, (N,).
        ops: how many each network has, (N,).
        measured_ms: each whole network, (N,).

    Returns:
        Least squares of the relative error. Terms beside the scale are taken only if they make the held-out error
        smaller by more than 1 / N, and leave every network's prediction positive. ``error_90`` is Student's prediction
        interval from the held-out errors.
    """
    rows = terms(sums_ms, ops) / measured_ms[:, None]  # relative errors: the target is 1
    best: tuple[float, Floats, Floats] | None = None
    for columns in _CHOICES_OF_TERMS:
        if len(columns) > 1 and len(rows) < _NETWORKS_PER_TERM * len(columns):
            continue
        used = rows[:, columns]
        if np.linalg.matrix_rank(used) < len(columns):
            continue
        coefficients = np.zeros(rows.shape[1])
        coefficients[list(columns)], held_out = _least_squares(used)
        error = float(np.sqrt((held_out**2).mean()))
        sane = coefficients[0] > 0 and bool((rows @ coefficients > 0).all())
        if sane and (best is None or (best[0] > _EXACT and error < (1 - 1 / len(rows)) * best[0])):
            best = error, coefficients, held_out
    assert best is not None  # one positive column fits positive targets
    error, coefficients, held_out = best
    freedom = len(rows) - np.count_nonzero(coefficients)
    return Calibration(
        scale=float(coefficients[0]),
        per_op_ms=float(coefficients[1]),
        fixed_ms=float(coefficients[2]),
        error_90=float(student_t.ppf(0.95, freedom) * error),
        held_out_mape=float(np.abs(held_out).mean()),
        networks=len(rows),
    )


def _least_squares(rows: Floats) -> tuple[Floats, Floats]:
    """Coefficients for a target of 1, and the error of each row when it is held out (N,), by the hat matrix."""
    inverse = np.linalg.pinv(rows)
    coefficients = inverse.sum(axis=1)
    leverage = np.einsum("ij,ji->i", rows, inverse)
    return coefficients, (rows @ coefficients - 1) / (1 - np.minimum(leverage, 0.99))
