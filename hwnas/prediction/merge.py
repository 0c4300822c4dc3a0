"""Tables of one device for several resolutions or spaces -> one table: what lies between them can be interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwnas.errors import TableError
from hwnas.prediction.calibrate import Networks, fit, measured_networks
from hwnas.tables.table import LatencyTable


def merge(tables: Sequence[LatencyTable]) -> LatencyTable:
    """All entries of all tables; an Op that several have is the first's. One table stays as it is, given twice or not.

    The calibration is fitted on the networks of all of them. The result belongs to no space.

    Raises:
        TableError: the tables are of different devices or uses of one (runtime, precision, threads, batch).
    """
    first, *others = tables = [table for index, table in enumerate(tables) if table not in tables[:index]]
    if not others:
        return first
    for other in others:
        if name := first.device.difference(other.device):
            raise TableError(
                f"tables of different devices can't be merged: {name} is {getattr(first.device, name)} in one, "
                f"{getattr(other.device, name)} in another"
            )
    ops = {op: latency for table in reversed(tables) for op, latency in table.ops.items()}
    failed = {op: reason for table in reversed(tables) for op, reason in table.failed.items()}
    networks = [measured_networks(table, table.get_space()) for table in tables if table.space]
    together = _together(networks) if networks else None
    return replace(
        first,
        space=None,
        ops=ops,
        failed={op: reason for op, reason in failed.items() if op not in ops},
        networks=(),
        held_out=(),
        added=(),
        calibration=fit(together) if together and len(together.measured_ms) >= 3 else None,
    )


def _together(parts: Sequence[Networks]) -> Networks:
    classes = dict.fromkeys(name for part in parts for name in part.counts)
    counts = {
        name: np.concatenate([part.counts.get(name, np.zeros(len(part.sums_ms))) for part in parts]) for name in classes
    }
    sums_ms, _, measured_ms = zip(*parts, strict=True)
    return Networks(np.concatenate(sums_ms), counts, np.concatenate(measured_ms))
