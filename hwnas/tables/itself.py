"""A table held against itself when it is loaded: whether its parts contradict one another."""

from __future__ import annotations

import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from hwnas.errors import ArchError, HwnasWarning, SpaceError, TableError, counted

if TYPE_CHECKING:
    from hwnas.tables.table import LatencyTable

_APART = 30.0
"""A network takes about what its ops do (0.7 to 1.2 of it in the shipped tables); a wrong unit is 1,000 times off."""

_FITTED = 10.0
"""How far a calibration may be from a network that it was fitted on, as a factor."""


def check_itself(table: LatencyTable, where: Path | str) -> None:
    """Hold space, networks, ops and calibration of a table against each other; ``where`` is for messages.

    Ops and networks that seem to be in different units are told as a `HwnasWarning`: a calibration makes up for it,
    and which of them is right isn't known.

    Raises:
        TableError: the space isn't the one of its fingerprint; networks that aren't of it; a calibration that isn't
            one of these networks.
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
    if apart := [ratio for ratio in ratios if not 1 / _APART < ratio < _APART]:
        ratio = median(apart)
        warnings.warn(
            f"{where}: {len(apart)} of its {counted(len(ratios), 'network')} take {ratio:.2g} × the sum of their ops: "
            f"µs for ms in its {'networks' if ratio > 1 else 'ops'}? Mend the unit, or profile again",
            HwnasWarning,
            stacklevel=2,
        )
