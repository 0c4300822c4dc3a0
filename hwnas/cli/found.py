"""What a search found, as ``search.json`` holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas.optimize import SearchResult, hypervolume, non_dominated

_UNITS = {"accuracy": "fraction", "model_mb": "MB", "peak_activation_mb": "MB"}


def found_of(result: SearchResult) -> dict[str, Any]:
    """Everything that was evaluated, the front, and its most accurate arch; of equals the one of the lowest latency."""
    front = result.to_front()
    names = front.objective_names
    accuracy = result.values[:, names.index("accuracy")]
    winner = max(result.front.tolist(), key=lambda i: (accuracy[i], -result.values[i, 1]), default=None)
    return {
        "objectives": [
            {"name": name, "unit": unit(name), "maximize": maximize}
            for name, maximize in zip(names, front.maximize, strict=True)
        ],
        "budgets": {b.objective_name: float(b.at_most) for b in front.budgets},
        "archs": result.archs.tolist(),
        "values": result.values.tolist(),
        "failed": [{"choices": arch.tolist(), "reason": reason} for arch, reason in result.failed],
        "front": result.front.tolist(),
        "winner": winner,
        "reference": front.reference.tolist(),
        "hypervolume": front.hypervolume,
        "hypervolume_history": hypervolume_history(result, front.reference),
    }


def baseline_of(result: SearchResult, reference: Sequence[float]) -> dict[str, Any]:
    """How far random archs come, measured from the same point."""
    return {"evaluations": len(result.archs), "hypervolume_history": hypervolume_history(result, np.array(reference))}


def hypervolume_history(result: SearchResult, reference: np.ndarray[Any, Any]) -> list[float]:
    """Hypervolume of the archs within budget after each that was evaluated."""
    minimised, origin = (result.problem.minimised(values) for values in (result.values, reference))
    minimise = [False] * len(reference)
    front = minimised[:0]
    volume, history = 0.0, []
    for row, over in zip(minimised, result.problem.excess(result.values) > 0, strict=True):
        if not over and not (front <= row).all(axis=1).any():  # else the front stays as it is
            front = np.concatenate([front, row[None]])
            front = front[non_dominated(front, minimise)]
            volume = hypervolume(front, origin, minimise)
        history.append(volume)
    return history


def unit(name: str) -> str:
    """In which a report tells an objective of that name."""
    return _UNITS.get(name, "ms" if name.startswith("latency_") else name)
