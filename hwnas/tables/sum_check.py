"""Whether "measured" networks were measured: a network's real latency scatters around the sum of its ops.

Some published sets of network latencies are the sum of a look-up table, printed as if measured. A predictor that sums
the same table then has no error at all, which says nothing about a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Values
from hwnas.errors import TableError
from hwnas.tables.table import LatencyTable

_TOLERANCE = 1e-3  # relative; repeated measurements of one network differ by 10 times this on quiet machines
_NEARLY_ALL = 0.95  # of the networks; a few may have been measured after all, or mistyped
_FEWEST = 5  # networks: a factor and an offset pass through any two
_RANGE = 20  # how many tolerances networks must differ among themselves, else any sum agrees with them
_MOST_FITTED = 500  # networks: all pairs of them are looked at


@dataclass(frozen=True)
class SumCheck:
    """How well ``factor · sum + offset_ms`` gives networks' latencies.

    Attributes:
        factor, offset_ms: fitted, robust against single networks that differ.
        decimals: of the latencies in ms, as far as they seem rounded; None when they don't.
        share_within: of networks, nearer than 1e-3 (relative), with the rounding added.
        share_exact: of networks that are the unfitted sum (factor 1, no offset) to their last decimal.
        enough: whether there are enough networks, different enough, for a verdict.
    """

    networks: int
    factor: float
    offset_ms: float
    decimals: int | None
    share_within: float
    share_exact: float
    enough: bool

    @property
    def computed(self) -> bool:
        """The networks weren't measured: (nearly) all are a table's sums."""
        return self.enough and max(self.share_within, self.share_exact) >= _NEARLY_ALL

    def __str__(self) -> str:
        if not self.enough:
            return f"{self.networks} networks are too few or too alike to tell whether they were measured"
        verdict = "computed, not measured" if self.computed else "not the sums of a table"
        offset = f" {'-' if self.offset_ms < 0 else '+'} {abs(self.offset_ms):.4g} ms"
        return (
            f"{verdict}: {self.share_within:.0%} of {self.networks} networks are within {_TOLERANCE:.1%} of "
            f"{self.factor:.4f} · sum{offset}, {self.share_exact:.0%} are the sum itself"
        )


def sums_of_table(measured_ms: Sequence[float] | Values, sums_ms: Sequence[float] | Values) -> SumCheck:
    """Hold networks' latencies against the sums of a table, up to one factor and one offset.

    The fit is Theil and Sen's (the median of the slopes between all pairs), so that a few networks that were measured
    don't hide that the others weren't.

    Args:
        measured_ms: (N,) what is said to be measured.
        sums_ms: (N,) the sums of a table's entries for the same networks.

    Raises:
        TableError: not as many of one as of the other, or a number that isn't positive and finite.
    """
    measured, sums = np.asarray(measured_ms, dtype=np.float64), np.asarray(sums_ms, dtype=np.float64)
    if measured.shape != sums.shape or measured.ndim != 1:
        raise TableError(f"{measured.size} networks against {sums.size} sums; expected one sum for each network")
    if not (np.isfinite(measured) & np.isfinite(sums) & (measured > 0) & (sums > 0)).all():
        raise TableError("a network's latency or its sum isn't a positive number")
    some = np.linspace(0, len(measured) - 1, min(len(measured), _MOST_FITTED)).astype(int)
    if len(measured) < _FEWEST or np.ptp(sums[some]) == 0:
        return SumCheck(len(measured), 1.0, 0.0, None, 0.0, 0.0, enough=False)
    from scipy.stats import theilslopes  # slow to import

    decimals = _decimals(measured)
    rounding_ms = 0.0 if decimals is None else 0.5 * 10.0**-decimals
    factor = float(theilslopes(measured[some], sums[some]).slope)
    offset_ms = float(np.median(measured - factor * sums))
    tolerance_ms = _TOLERANCE * measured + rounding_ms
    return SumCheck(
        networks=len(measured),
        factor=factor,
        offset_ms=offset_ms,
        decimals=decimals,
        share_within=float(np.mean(np.abs(factor * sums + offset_ms - measured) <= tolerance_ms)),
        share_exact=float(np.mean(np.abs(sums - measured) <= rounding_ms + 1e-9 * measured)),
        enough=bool(np.ptp(measured) >= _RANGE * np.median(tolerance_ms)),
    )


def check_networks(table: LatencyTable) -> SumCheck:
    """Hold a table's own ``networks`` against the sums of its own ops; those with an op that it lacks are left out.

    Raises:
        TableError: the table is for no space.
        ArchError: a network has choices that the space hasn't.
        SpaceError: the table's space can't be made.
    """
    if table.space is None:
        raise TableError("the table says no space, so its networks' sums aren't known")
    space = table.get_space()
    lowered = [(network, space.graph(network.choices).ops) for network in table.networks]
    known = [(network, ops) for network, ops in lowered if all(op in table.ops for op in ops)]
    sums_ms = [sum(table.ops[op].p50_ms for op in ops) for _, ops in known]
    return sums_of_table([network.p50_ms for network, _ in known], sums_ms)


def _decimals(values: Values) -> int | None:
    """The fewest decimals that all values have; None above 6, where nothing is rounded."""
    return next((d for d in range(7) if np.array_equal(np.round(values, d), values)), None)
