"""What a search's progress says beside how many archs are done."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.arrays import Values
from hwnas.reporting.units import shown


def search_note(hypervolume: float, best: Values | None, failed: int, units: Sequence[str]) -> str:
    """``hypervolume 0.4123  best 91.20 % at 7.91 ms  failed 2``.

    Args:
        hypervolume: of the archs within budget so far.
        best: (K,) values of the arch within budget that is best in the first objective; None while there is none.
        failed: archs that couldn't be evaluated.
        units: of the K objectives, as :func:`hwnas.reporting.units.shown` takes them; of the best arch, the first
            objective and the latencies are told.
    """
    parts = [f"hypervolume {hypervolume:.4g}"]
    if best is None:
        parts.append("nothing within budget yet")
    else:
        first, *others = (shown(float(value), unit) for value, unit in zip(best, units, strict=True))
        latencies = [text for text, unit in zip(others, units[1:], strict=True) if unit == "ms"]
        parts.append(f"best {first}{' at ' if latencies else ''}{', '.join(latencies)}")
    if failed:
        parts.append(f"failed {failed}")
    return "  ".join(parts).replace("\N{NO-BREAK SPACE}", " ")
