"""A table held against itself when it is loaded: whether its parts contradict one another."""

from __future__ import annotations

import warnings
from math import prod, sqrt
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from hwnas.errors import ArchError, HwnasWarning, SpaceError, TableError, counted
from hwnas.graph.count import cost
from hwnas.graph.graph import Op

if TYPE_CHECKING:
    from hwnas.tables.table import LatencyTable

_APART = 30.0
"""A network takes about what its ops do (0.7 to 1.2 of it in the shipped tables); a wrong unit is 1,000 times off."""

_FITTED = 10.0
"""How far a calibration may be from a network that it was fitted on, as a factor."""

_UNLIKE, _NEIGHBOURS, _FEWEST, _TOLD = 200.0, 15, 4, 3
"""A factor; entries on either side, at all, and told. Measured ones are within 4 × of neighbours, 125 × of all."""


def check_itself(table: LatencyTable, where: Path | str) -> None:
    """Hold space, networks, ops and calibration of a table against each other; ``where`` is for messages.

    Ops and networks that seem to be in different units are told as a `HwnasWarning`: a calibration makes up for it,
    and which of them is right isn't known. So are ops that are absurd beside the others, and those that lack.

    Raises:
        TableError: the space isn't the one of its fingerprint; networks or measured ops that aren't of it; a
            calibration that isn't one of these networks.
    """
    both = [network for pair in table.held_out for network in pair]
    parts = {"networks": table.networks, "held_out": both, "added": table.added}
    if table.space is None:
        if unknown := [name for name, networks in parts.items() if networks]:
            raise TableError(f"{where}: {unknown[0]}: of which space isn't said; remove them, or profile again")
        return
    try:
        space = table.get_space()
    except SpaceError as problem:
        raise TableError(f"{where}: space: {problem}") from None
    for name, networks in ((name, networks) for name, networks in parts.items() if networks):
        try:
            space.check([network.choices for network in networks])
        except ArchError as problem:
            raise TableError(f"{where}: {name}: {problem}; its space is {table.space}") from None
    if table.protocol is not None:  # an import may be of other ops as well
        entries, own = dict.fromkeys((*table.ops, *table.failed)), dict.fromkeys(space.distinct_ops)
        if foreign := [op for op in entries if op not in own]:
            raise TableError(f"{where}: [{foreign[0]}] is no op of {table.space}; it was edited: profile again")
        if missing := [op for op in own if op not in entries]:
            _tell(f"{where}: lacks {counted(len(missing), 'op')} of {table.space}, to be interpolated: [{missing[0]}]")
        for odd in odd_latencies(table)[:_TOLD]:
            _tell(f"{where}: {odd}")
    ratios, inheriting, calibration = [], space.inheriting(), table.calibration
    for network, kept in [*((n, False) for n in table.networks), *((n, n.stabilizers) for n in table.added)]:
        ops = (inheriting if kept else space).graph(network.choices).ops
        if not all(op in table.ops for op in ops):
            continue  # the runtime couldn't run one, or it was interpolated
        alone_ms = [table.ops[op].p50_ms for op in ops]
        ratios.append(network.p50_ms / sum(alone_ms))
        if calibration is not None:
            predicted_ms = sum(map(calibration.op_ms, ops, alone_ms)) + calibration.fixed_ms
            if not 1 / _FITTED < predicted_ms / network.p50_ms < _FITTED:
                raise TableError(
                    f"{where}: calibration ({calibration}): by it a network takes {predicted_ms:.4g} ms that was "
                    f"measured at {network.p50_ms:.4g} ms; it was edited, or is of another table: profile again"
                )
    if calibration is not None and ratios:
        mean, many = calibration.held_out_mape, len(table.networks) + len(table.added)
        # Student's factor is 1.6 to 6.4, and the root of N errors' mean square 1 to √N × their mean.
        possible = 1.6 * mean - 1e-9 <= calibration.error_90 <= 6.4 * mean * sqrt(many) + 1e-9
        if not possible or not len(ratios) <= calibration.networks <= many:
            raise TableError(
                f"{where}: calibration ({calibration}): that can't be of {counted(many, 'network')}, missed by "
                f"{mean:.1%} in the mean; it was edited, or is of another table: profile again"
            )
    if apart := [ratio for ratio in ratios if not 1 / _APART < ratio < _APART]:
        ratio = median(apart)
        _tell(
            f"{where}: {len(apart)} of its {counted(len(ratios), 'network')} take {ratio:.2g} × the sum of their ops: "
            f"µs for ms in its {'networks' if ratio > 1 else 'ops'}? Mend the unit, or profile again"
        )


def _tell(remark: str) -> None:
    warnings.warn(remark, HwnasWarning, stacklevel=3)


def odd_latencies(table: LatencyTable) -> list[str]:
    """Entries that are absurdly fast or slow beside the others, a line each.

    An op is held against the entries nearest to it in size (multiply-adds and elements that go in and out), one without
    a formula against the median of all.
    """
    sizes = {op: size for op in table.ops if (size := _size(op))}
    ordered = sorted(sizes, key=sizes.__getitem__)
    usual_ms = dict.fromkeys(table.ops, median(latency.p50_ms for latency in table.ops.values()))
    for place, op in enumerate(ordered):
        near = ordered[max(0, place - _NEIGHBOURS) : place] + ordered[place + 1 : place + 1 + _NEIGHBOURS]
        if near:
            usual_ms[op] = sizes[op] * median(table.ops[other].p50_ms / sizes[other] for other in near)
    ratios = {op: latency.p50_ms / usual_ms[op] for op, latency in table.ops.items()}
    return [
        f"[{op}] takes {table.ops[op].p50_ms:.4g} ms, {ratio:.2g} × what the others suggest: is it right?"
        for op, ratio in ratios.items()
        if len(ratios) >= _FEWEST and not 1 / _UNLIKE < ratio < _UNLIKE
    ]


def _size(op: Op) -> float:
    try:
        return float(cost(op).madds + prod(op.in_shapes[0]) + prod(op.out_shape))
    except (TypeError, OverflowError, SpaceError):
        return 0
