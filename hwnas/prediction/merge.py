"""Tables of one device for several resolutions or spaces -> one table: what lies between them can be interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwnas.errors import TableError
from hwnas.graph.graph import Op
from hwnas.prediction.calibrate import Networks, fit, measured_networks
from hwnas.tables.table import Latency, LatencyTable


def merge(tables: Sequence[LatencyTable]) -> LatencyTable:
    """All entries of all tables; an Op that several have is taken from the first. One table stays as it is.

    The calibration is fitted on the networks of all of them. The result belongs to no space.

    Raises:
        TableError: the tables are of different devices or uses of one (runtime, precision, threads, batch).
    """
    first, *others = tables
    if not others:
        return first
    for other in others:
        if name := first.device.difference(other.device):
            raise TableError(
                f"tables of different devices can't be merged: {name} is {getattr(first.device, name)} in one, "
                f"{getattr(other.device, name)} in another"
            )
    ops: dict[Op, Latency] = {}
    failed: dict[Op, str] = {}
    for table in tables:
        ops = {**table.ops, **ops}
        failed = {**table.failed, **failed}
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
    absent = [np.zeros(len(part.measured_ms)) for part in parts]
    return Networks(
        np.concatenate([part.sums_ms for part in parts]),
        {
            name: np.concatenate([part.counts.get(name, zeros) for part, zeros in zip(parts, absent, strict=True)])
            for name in classes
        },
        np.concatenate([part.measured_ms for part in parts]),
    )
