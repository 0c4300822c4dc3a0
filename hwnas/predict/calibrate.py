"""From sums of isolated ops to whole networks: one scale factor and its error, from measured networks.

An op timed alone pays for entering and leaving the runtime, and for layouts that neighbours share in a whole
network, so the plain sum is off by a nearly constant factor.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from hwnas.errors import TableError
from hwnas.predict.lowered import LayerSum
from hwnas.space.space import Space
from hwnas.tables.table import Calibration, LatencyTable


def calibrate(table: LatencyTable, space: Space) -> LatencyTable:
    """The same table with a calibration fitted on its own measured networks.

    Raises:
        TableError: the table has fewer than 3 networks, or isn't of this space.
    """
    if table.space.fingerprint != space.fingerprint:
        raise TableError(f"the table was made for {table.space.source}, not for {space.name}; its networks don't fit")
    if len(table.networks) < 3:
        raise TableError(f"a calibration needs 3 measured networks, the table has {len(table.networks)}")
    sums_ms = LayerSum(space, lambda op: table.ops[op].p50_ms)([network.choices for network in table.networks])
    measured_ms = np.array([network.p50_ms for network in table.networks])
    scale, error_90 = fit_scale(sums_ms, measured_ms)
    error_90 = float(np.hypot(error_90, table.protocol.unsteadiness_90))  # independent of each other
    return replace(table, calibration=Calibration(scale=scale, error_90=error_90, networks=len(measured_ms)))


def fit_scale(sums_ms: npt.NDArray[np.float64], measured_ms: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The factor between sums and measurements, both (N,), and its error.

    Returns:
        The geometric mean of the ratios (least squares of the relative error), and the relative half-width of
        Student's 90 % prediction interval for one new network.
    """
    log_ratios = np.log(measured_ms / sums_ms)
    count = len(log_ratios)
    deviation = log_ratios.std(ddof=1) * np.sqrt(1 + 1 / count)
    return float(np.exp(log_ratios.mean())), float(np.expm1(student_t.ppf(0.95, count - 1) * deviation))
