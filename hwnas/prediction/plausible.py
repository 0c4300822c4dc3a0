"""Whether a table's numbers can be in the unit that they are said to be in.

Milliseconds against seconds is a mistake that no reader of numbers notices. What an entry implies, multiply-adds a
second, does show it: devices span some five powers of ten, and a wrong unit moves all entries by three.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median

from hwnas.errors import SpaceError, TableError
from hwnas.graph.count import cost
from hwnas.graph.graph import Op
from hwnas.graph.kernel_cost import madds_or_zero
from hwnas.tables.importers.foreign import MS_PER, Z_90, ForeignTable, Unit
from hwnas.tables.itself import odd_latencies
from hwnas.tables.kernel_table import KernelTable
from hwnas.tables.table import LatencyTable

USUAL_MADDS_PER_S = (5e7, 3e12)
"""Of single ops at batch 1: from one small core of an embedded board to the largest accelerators."""

POSSIBLE_MADDS_PER_S = (1e6, 1e15)
"""Slower than the smallest microcontrollers, and faster than the arithmetic units of any one device."""

_TELLING_MADDS = 10_000
"""Of a kernel; one of fewer takes the time of a call."""
_UNSTEADY, _TOLD = 3.0, 5


def check_unit(table: ForeignTable, *, insisted: bool = False) -> float | None:
    """Multiply-adds a second (at batch 1) that a table's entries imply, their median.

    Where somebody ``insisted`` on the unit, only what no device can do is refused.

    Returns:
        None when no entry is an Op with a formula: nothing can be said.

    Raises:
        TableError: the median is outside of what devices do; says which unit would be plausible.
    """
    madds_per_s = _madds_per_s((entry.op, entry.mean_ms) for entry in table.entries)
    if not madds_per_s:
        return None
    implied = median(madds_per_s)
    low, high = POSSIBLE_MADDS_PER_S if insisted else USUAL_MADDS_PER_S
    if low <= implied <= high:
        return implied
    way_out = "" if insisted else f"; name the unit ({table.unit} too, if that is right after all)"
    raise TableError(f"{table.source}: {speed(table.unit, implied)}{way_out}")


def speed(unit: Unit, madds_per_s: float) -> str:
    """What numbers in a unit imply and, where no usual device does it, in which unit they would be plausible."""
    low, high = USUAL_MADDS_PER_S
    said = f"in {unit} its ops do {madds_per_s / 1e9:,.3f} billion multiply-adds a second (median)"
    if low <= madds_per_s <= high:
        return said
    others = [u for u in MS_PER if low <= madds_per_s * MS_PER[unit] / MS_PER[u] <= high]
    advice = f"in {' or '.join(others)} it would be plausible" if others else "s, ms and us are all implausible"
    return f"{said}, devices do {low / 1e9:g} to {high / 1e9:g} billion; {advice}"


def check_speed(table: LatencyTable | KernelTable, where: Path | str) -> None:
    """Hold a table that a kit measured against what devices can do: its clock may be wrong.

    Raises:
        TableError: the median of its ops, or kernels, is faster or slower than any device; ``where`` is for messages.
    """
    if isinstance(table, KernelTable):
        counted = ((madds_or_zero(each.kernel), each.p50_ms) for each in table.kernels)
        madds_per_s = [madds / (ms / 1e3) for madds, ms in counted if madds > _TELLING_MADDS]
    else:
        madds_per_s = _madds_per_s((op, latency.p50_ms / table.device.batch) for op, latency in table.ops.items())
    low, high = POSSIBLE_MADDS_PER_S
    if madds_per_s and not low <= median(madds_per_s) <= high:
        what = "kernels" if isinstance(table, KernelTable) else "ops"
        raise TableError(
            f"{where}: its {what} would do {median(madds_per_s):.2g} multiply-adds a second, which none does: "
            "its clock can't be right; measure again"
        )


def odd_entries(table: LatencyTable) -> list[str]:
    """Entries that can't be right if the others are, a line each: absurdly fast, slow or unsteady."""
    found = odd_latencies(table)
    for op, latency in table.ops.items():
        if (deviation := (latency.p90_ms - latency.p50_ms) / Z_90 / latency.p50_ms) > _UNSTEADY:
            found.append(f"[{op}] has a standard deviation of {deviation:.2g} × its mean: is it right?")
    return found if len(found) <= _TOLD else [*found[:_TOLD], f"and {len(found) - _TOLD} more are as odd"]


def _madds_per_s(latencies_ms: Iterable[tuple[Op, float]]) -> list[float]:
    found = []
    for op, ms in latencies_ms:
        with suppress(TypeError, OverflowError, SpaceError):  # an Op without a formula, or of absurd size
            found.append(cost(op).madds / (ms / 1e3))
    return found
