"""What ``profile``, ``predict`` and ``table show`` print where it is about anyone's models and their kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hwnas.cli.console import command
from hwnas.errors import counted

if TYPE_CHECKING:
    from hwnas.flow.kernels import ModelPredictions
    from hwnas.prediction.kernels import ModelPrediction, Priced
    from hwnas.tables.kernel_table import KernelTable

_TOLD = 10


def of_table(table: KernelTable, output: object) -> tuple[dict[str, Any], list[str]]:
    """What a new table says: the JSON object, and lines to read."""
    protocol, calibration = table.measured[-1], table.calibration
    uncut = [(model.name, each) for model in table.models for each in model.launches if each.kernel is None]
    result = {
        "kernels": len(table.kernels),
        "failed": [{"kernel": str(each.kernel), "reason": each.reason} for each in table.failed],
        "models": [{"name": each.name, "p50_ms": each.p50_ms, "p90_ms": each.p90_ms} for each in table.models],
        "uncut": [{"model": name, "name": each.name, "reason": each.uncut} for name, each in uncut],
        "seconds": sum(each.seconds for each in table.measured),
        "table": str(output),
        "device": table.device.plain(),
        "confidence_95": protocol.confidence_95,
        "unsteadiness_90": protocol.unsteadiness_90,
        "calibration": calibration.plain() if calibration else None,
    }
    counts = f"{counted(len(table.kernels), 'kernel')} and {counted(len(table.models), 'model')}"
    lines = [f"{counts} on {table.device}"]
    lines += [f"{model.p50_ms:>10.3f} ms  {model.name}" for model in table.models]
    lines += [f"could not be run alone: {each.kernel}: {each.reason}" for each in table.failed[:_TOLD]]
    lines += [f"can't be timed alone: {each.name} of {name}: {each.uncut}" for name, each in uncut[:_TOLD]]
    lines.append(
        f"medians known to ±{protocol.confidence_95:.1%} (95 %); the machine's own speed varied by "
        f"±{protocol.unsteadiness_90:.1%} from second to second"
    )
    fewer = "not calibrated: that takes 3 models whose kernels all run alone"
    lines.append(f"a model takes {calibration}" if calibration else fewer)
    return result, [*lines, f"table: {output}", f"next: {command('predict', '--table', output)} ANOTHER.onnx"]


def of_predictions(found: ModelPredictions, budget_ms: float | None) -> tuple[dict[str, Any], list[str]]:
    """The same of predictions, the fastest first."""
    ranked = sorted(found.models, key=lambda each: each.latency_ms)
    result = {
        "models": [_plain(each, budget_ms) for each in ranked],
        "budget_ms": budget_ms,
        "device": found.device.plain(),
    }
    lines = [_line(each, budget_ms) for each in ranked]
    lines += [line for each in ranked for line in _unknown(each)]
    if len(ranked) == 1:
        lines += ["the kernels that take most of it:", *_rows(ranked[0], _TOLD)]
    return result, [*lines, f"on {found.device}"]


def per_layer(found: ModelPrediction) -> tuple[dict[str, Any], list[str]]:
    """The same of each launch of a model, the costliest first."""
    return _plain(found, None), [f"{found.latency_ms:.3f} ms: {found.name}", *_rows(found, len(found.launches))]


def _plain(found: ModelPrediction, budget_ms: float | None) -> dict[str, Any]:
    low_ms, high_ms = found.interval_ms or (None, None)
    return {
        "name": found.name,
        "latency_ms": found.latency_ms,
        "low_ms": low_ms,
        "high_ms": high_ms,
        "measured": found.measured,
        "lower_bound": bool(found.unknown) and not found.measured,
        "fits": None if budget_ms is None else found.latency_ms <= budget_ms,
        "fixed_ms": found.fixed_ms,
        "launches": [
            {"name": each.name, "kernel": str(each.kernel) if each.kernel else None, "latency_ms": each.latency_ms,
             "source": each.source, "why_unknown": each.why_unknown or None}
            for each in found.launches
        ],
    }  # fmt: skip


def _line(found: ModelPrediction, budget_ms: float | None) -> str:
    how = "not calibrated"
    if found.interval_ms:
        how = "{:.3f} to {:.3f} ms".format(*found.interval_ms)
    if found.measured:
        how = f"measured, {how}"
    elif found.unknown:
        how = f"at least: nothing is known of {counted(len(found.unknown), 'kernel')}"
    if found.guessed:
        how += f", {len(found.guessed)} of {counted(len(found.launches), 'kernel')} guessed"
    return f"{found.latency_ms:>9.3f} ms  ({how})  {found.name}{_fits(found, budget_ms)}"


def _fits(found: ModelPrediction, budget_ms: float | None) -> str:
    if budget_ms is None:
        return ""
    if found.latency_ms > budget_ms:
        return f": doesn't fit {budget_ms:g} ms"
    sure = not found.unknown and found.interval_ms is not None and found.interval_ms[1] <= budget_ms
    return f": fits {budget_ms:g} ms" if sure or found.measured else f": may fit {budget_ms:g} ms, measure it"


def _unknown(found: ModelPrediction) -> Iterator[str]:
    """Each reason once, with the first launch that it is about."""
    first: dict[str, Priced] = {}
    for each in found.unknown:
        first.setdefault(each.why_unknown, each)
    for why, each in list(first.items())[:_TOLD]:
        same = sum(other.why_unknown == why for other in found.unknown)
        yield f"{found.name}: nothing is known of {each.name}{f' and {same - 1} more' if same > 1 else ''}: {why}"


def _rows(found: ModelPrediction, most: int) -> Iterator[str]:
    by_cost = sorted(found.launches, key=lambda each: -each.latency_ms)
    total_ms = sum(each.latency_ms for each in found.launches) or 1.0
    for each in by_cost[:most]:
        yield f"{each.latency_ms:>9.4f} ms {each.latency_ms / total_ms:>6.1%}  {each.name}: {_kernel(each)}"
    if rest := by_cost[most:]:
        rest_ms = sum(each.latency_ms for each in rest)
        yield f"{rest_ms:>9.4f} ms {rest_ms / total_ms:>6.1%}  {counted(len(rest), 'other kernel')}"


def _kernel(launch: Priced) -> str:
    known = {"measured": "", "guessed": f" (guessed, ±{launch.error_90:.0%})", "unknown": " (unknown)"}
    return f"{launch.kernel or 'not to be timed alone'}{known[launch.source]}"
