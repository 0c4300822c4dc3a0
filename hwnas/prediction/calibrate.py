"""From sums of isolated ops to whole networks, fitted on measured ones: ``scale · Σ + per op of a class + fixed``.

An op timed alone pays for entering and leaving the runtime, and for layouts that neighbours share in a whole network; a
network pays for dispatching each op, for changing layouts at some, and once for itself. Which of these terms matter
differs by runtime, so they are chosen by how well networks are predicted that the fit hasn't seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Values
from hwnas.errors import TableError
from hwnas.files import validated
from hwnas.graph.graph import Op
from hwnas.prediction.costs import LayerSum
from hwnas.space.space import Space
from hwnas.tables.table import ANY, Calibration, LatencyTable, Quantile, op_class

_NETWORKS_PER_TERM = 5
_EXACT = 1e-9
"""A relative error below which there is nothing to make better."""


def _class_members(space: Space) -> Mapping[str, Callable[[Op], float]]:
    """For each class, 1 for the ops that are of it and 0 for others: for all ops, and for what layers choose among."""
    members: dict[str, Callable[[Op], float]] = {ANY: lambda op: 1.0}
    transitions = space.plain().transitions()
    chosen = {op_class(op) for op in transitions.chosen} if transitions else set()
    for name in sorted(chosen) if len(chosen) > 1 else ():
        members[name] = lambda op, name=name: float(op_class(op) == name)  # type: ignore[misc]
    return members


def count_classes(space: Space, archs: npt.ArrayLike) -> Mapping[str, Values]:
    """Archs (N, L) -> numbers of ops (N,): of all, stem and head too, and of each class that layers choose among."""
    return {name: LayerSum(space, member)(archs) for name, member in _class_members(space).items()}


class Networks(NamedTuple):
    """N measured networks.

    Attributes:
        sums_ms: of the latencies of each network's ops, (N,).
        counts: how many ops of each class each has, (N,) a class.
        measured_ms: each network's latency, (N,).
    """

    sums_ms: Values
    counts: Mapping[str, Values]
    measured_ms: Values

    def without(self, row: int) -> Networks:
        """All but one."""
        return Networks(
            np.delete(self.sums_ms, row),
            {name: np.delete(count, row) for name, count in self.counts.items()},
            np.delete(self.measured_ms, row),
        )

    def predicted_ms(self, calibration: Calibration) -> Values:
        """What a calibration says of them, (N,)."""
        per_op_ms = sum(ms * self.counts[name] for name, ms in calibration.per_op_ms.items())
        return calibration.scale * self.sums_ms + per_op_ms + calibration.fixed_ms


def calibrate(table: LatencyTable, space: Space) -> LatencyTable:
    """The same table with a calibration fitted on its own measured networks; raises as :func:`calibration_of`."""
    return replace(table, calibration=calibration_of(table, space))


def calibrate_if_enough(table: LatencyTable, space: Space) -> LatencyTable:
    """The table, calibrated if it has 3 networks or more: a device may be able to run fewer."""
    return calibrate(table, space) if len(table.networks) >= 3 else table


def calibration_of(table: LatencyTable, space: Space, quantile: Quantile = "p50") -> Calibration:
    """How a network's latency follows from the sum of its ops' medians.

    Percentiles of ops don't add up to that of a network: slow moments neither meet all ops of a run nor each alone. So
    the 90th percentile too is fitted, on those of the measured networks.

    Raises:
        TableError: the table has fewer than 3 networks that its ops can predict, or isn't of this space.
    """
    if table.space is None or table.space.fingerprint != space.fingerprint:
        source = table.space.source if table.space else "no space"
        raise TableError(f"the table was made for {source}, not for {space.name}; its networks don't fit")
    networks = measured_networks(table, space, quantile)
    if len(networks.measured_ms) < 3:
        raise TableError(f"a calibration needs 3 measured networks, the table has {len(networks.measured_ms)}")
    return fit(networks)


def measured_networks(table: LatencyTable, space: Space, quantile: Quantile = "p50") -> Networks:
    """The networks that were measured beside a table's ops, then those that were added later.

    Left out are those that have an op which the table hasn't, as it couldn't be run.
    """
    both = [*((n, False) for n in table.networks), *((n, n.stabilizers) for n in table.added)]
    spaces = {False: space.plain(), True: space.inheriting()}
    whole = [(n, kept) for n, kept in both if table.ops.keys() >= set(spaces[kept].graph(n.choices).ops)]
    archs = np.array([n.choices for n, _ in whole], dtype=np.int64).reshape(len(whole), space.num_layers)
    kept = np.array([kept for _, kept in whole], dtype=bool)

    def of_each(cost: Callable[[Op], float]) -> Values:
        plain = LayerSum(spaces[False], cost)(archs)
        return np.where(kept, LayerSum(spaces[True], cost)(archs), plain) if kept.any() else plain

    return Networks(
        of_each(lambda op: table.ops[op].p50_ms if op in table.ops else np.nan),
        {name: of_each(one) for name, one in _class_members(space).items()},
        np.array([n.at_ms(quantile) for n, _ in whole]),
    )


def fit(networks: Networks) -> Calibration:
    """Calibrate on N ≥ 3 networks.

    Returns:
        Least squares of the relative error. A term is taken beside the scale only if it makes the held-out error
        smaller by more than 1 / N, the best first, and leaves every network's prediction positive. ``error_90`` is
        Student's prediction interval from the held-out errors.

    Raises:
        TableError: the networks have so little to do with their ops that nothing can be predicted.
    """
    sums_ms, counts, measured_ms = networks
    columns = {"scale": sums_ms, "fixed": np.ones(len(sums_ms)), **counts}
    relative = {name: column / measured_ms for name, column in columns.items()}  # the target is 1
    best = _Fit(("scale",), *_least_squares(relative["scale"][:, None]))
    while len(measured_ms) >= _NETWORKS_PER_TERM * (len(best.terms) + 1) and best.error > _EXACT:
        candidates = []
        for name in relative.keys() - set(best.terms):
            rows = np.stack([relative[term] for term in (*best.terms, name)], axis=1)
            if np.linalg.matrix_rank(rows / np.abs(rows).mean(axis=0).clip(1e-300)) == rows.shape[1]:
                candidates.append(_Fit((*best.terms, name), *_least_squares(rows)))
        sane = [found for found in candidates if found.coefficients[0] > 0 and (found.predicted > 0).all()]
        better = min(sane, key=lambda found: (found.error, found.terms), default=best)
        if better.error >= (1 - 1 / len(measured_ms)) * best.error:
            break
        best = better
    from scipy.special import stdtrit  # as long to load as all that a prediction needs

    # to choose takes freedom, as to fit does
    choice = len(relative) if len(measured_ms) >= 2 * _NETWORKS_PER_TERM else 1
    found = dict(zip(best.terms, map(float, best.coefficients), strict=True))
    fitted = {
        "scale": found.pop("scale"),
        "fixed_ms": found.pop("fixed", 0.0),
        "per_op_ms": found,
        "error_90": float(stdtrit(len(measured_ms) - choice, 0.95) * np.sqrt((best.held_out**2).mean())),
        "held_out_mape": best.error,
        "networks": len(measured_ms),
    }
    return validated(Calibration, fitted, "the measured networks don't fit their ops; profile again", TableError)


class _Fit(NamedTuple):
    """Terms, their coefficients, each network's prediction relative to its latency, and its error when held out."""

    terms: tuple[str, ...]
    coefficients: Values
    predicted: Values
    held_out: Values

    @property
    def error(self) -> float:
        """What terms are chosen by: the mean, since one network that fits badly mustn't decide it."""
        return float(np.abs(self.held_out).mean())


def _least_squares(rows: Values) -> tuple[Values, Values, Values]:
    """For a target of 1: coefficients, predictions and, by the hat matrix, the error of each row when held out."""
    inverse = np.linalg.pinv(rows)
    coefficients = inverse.sum(axis=1)
    predicted = rows @ coefficients
    leverage = np.einsum("ij,ji->i", rows, inverse)
    return coefficients, predicted, (predicted - 1) / (1 - np.minimum(leverage, 0.99))
