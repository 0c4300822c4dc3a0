"""Numbers as people read them: with a unit, and with no more digits than mean something."""

from __future__ import annotations

from math import isfinite

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
    digits = next((d for limit, d in ((10, 3), (100, 2), (1000, 1)) if abs(value) < limit), 0)
    return f"{value:,.{digits}f}"


def milliseconds(value: float) -> str:
    """A latency, three significant digits."""
    return f"{_padded(value) if abs(value) >= 0.1 else format(value, '.2g')}{_SPACE}ms"


def percent(fraction: float) -> str:
    """A fraction of one, two digits behind the point."""
    return f"{100 * fraction:.2f}{_SPACE}%"


def large(count: float) -> str:
    """A count with k, M or G, beyond that as a power of ten."""
    if abs(count) >= 1e15:
        digits, _, exponent = f"{count:.1e}".partition("e+")
        return f"{digits}×10{exponent.translate(_RAISED)}"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= limit:
            return f"{_padded(count / limit)}{_SPACE}{suffix}"
    return number(count)


def bytes_(count: int) -> str:
    """A file size, decimal units."""
    for limit, suffix in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{_padded(count / limit)}{_SPACE}{suffix}"
    return f"{count}{_SPACE}bytes"


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
    return f"{abs(part):.1%} {'more' if part >= 0 else 'less'}".replace("%", "\N{NO-BREAK SPACE}%")


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


def axis(unit: str) -> tuple[float, str]:
    """What a chart's axis multiplies values of a unit with, and the unit that it then shows."""
    scales = {"fraction": (100.0, "%"), "madds": (1e-6, "million"), "params": (1e-6, "million"), "bytes": (1e-6, "MB")}
    return scales.get(unit, (1.0, unit))


def words(name: str) -> str:
    """An identifier as words: ``madds`` -> ``multiply-adds``, ``latency_ms phone`` -> ``latency on phone``."""
    what, _, device = name.partition(" ") if "_ms " in name else (name, "", "")
    known = _WORDS.get(what) or what.removesuffix("_ms").replace("_", " ")
    return f"{known} on {device}" if device else known


def _padded(value: float) -> str:
    digits = next((d for limit, d in ((1, 3), (10, 2), (100, 1)) if abs(value) < limit), 0)
    return f"{value:,.{digits}f}"
