"""Numbers as people read them: with a unit, and with no more digits than mean something."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from hwnas.records.search import SearchObjective

_SPACE = "\N{NO-BREAK SPACE}"
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_WORDS = {
    "madds": "multiply-adds",
    "params": "parameters",
    "ms": "latency",
    "latency_p90_ms": "p90 latency",
    "model_mb": "model size",
    "peak_activation_mb": "peak activation memory",
}


def number(value: float) -> str:
    """About four significant digits, thousands separated."""
    if not isfinite(value):
        return "not a number"
    if value == 0 or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    return _padded(value, 10)


def milliseconds(value: float) -> str:
    """A latency, three significant digits."""
    return f"{_padded(value) if abs(value) >= 0.1 else format(value, '.2g')}{_SPACE}ms"


def span(low_ms: float | None, high_ms: float | None) -> str | None:
    """From one latency to another, where both are known."""
    return None if low_ms is None or high_ms is None else f"{milliseconds(low_ms)} to {milliseconds(high_ms)}"


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction of one, with so many digits behind the point."""
    return f"{100 * fraction:.{digits}f}{_SPACE}%"


def large(count: float) -> str:
    """A count with k, M or G, beyond that as a power of ten."""
    if abs(count) >= 1e15:
        digits, _, exponent = f"{count:.1e}".partition("e+")
        return f"{digits}×10{exponent.translate(_RAISED)}"
    return _scaled(count) or number(count)


def bytes_(count: int) -> str:
    """A file size, decimal units."""
    scaled = _scaled(count)
    return f"{scaled}B" if scaled else f"{count}{_SPACE}bytes"


def seconds(value: float) -> str:
    """A duration: seconds, minutes or hours."""
    if value < 60:
        return f"{value:.1f}{_SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def compared(value: float, reference: float) -> str:
    """How far ``value`` is from ``reference``, in words."""
    part = value / reference - 1
    return f"{percent(abs(part), 1)} {'more' if part >= 0 else 'less'}"


def shown(value: float, unit: str) -> str:
    """A value of an objective; see `SearchObjective` for the units."""
    if unit == "fraction":
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    if unit in ("madds", "params"):
        return large(value)
    if unit == "bytes":
        return bytes_(round(value))
    return f"{number(value)}{_SPACE}{unit}".strip()


def named(objective: SearchObjective, value: float) -> str:
    """A value of an objective behind the objective's name."""
    return f"{words(objective.name)} {shown(value, objective.unit)}"


def axis(unit: str) -> tuple[float, str]:
    """What a chart's axis multiplies values of a unit with, and the unit that it then shows."""
    scales = {"fraction": (100.0, "%"), "madds": (1e-6, "million"), "params": (1e-6, "million"), "bytes": (1e-6, "MB")}
    return scales.get(unit, (1.0, unit))


def words(name: str) -> str:
    """An identifier as words: ``madds`` -> ``multiply-adds``, ``latency_ms phone`` -> ``latency on phone``."""
    what, _, device = name.partition(" ") if "_ms " in name else (name, "", "")
    known = _WORDS.get(what) or what.removesuffix("_ms").replace("_", " ")
    return f"{known} on {device}" if device else known


def are(count: int) -> str:
    """The verb behind a count."""
    return "is" if count == 1 else "are"


def by_commas(choices: Iterable[int]) -> str:
    """An arch as people write it, without its space."""
    return ",".join(map(str, choices))


def _padded(value: float, one: float = 1) -> str:
    """Three significant digits of what is at least ``one``."""
    digits = next((d for limit, d in ((1, 3), (10, 2), (100, 1)) if abs(value) < limit * one), 0)
    return f"{value:,.{digits}f}"


def _scaled(count: float) -> str | None:
    """In thousands or more, with the prefix; None for less."""
    scales = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    return next((f"{_padded(count / by)}{_SPACE}{prefix}" for by, prefix in scales if abs(count) >= by), None)
