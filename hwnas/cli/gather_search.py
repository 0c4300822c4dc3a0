"""What ``search.json`` holds -> what a report shows of it. A key that older searches don't have counts as null."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.cli.tables import TableOption
from hwnas.optimize.problem import Budget
from hwnas.prediction.latency import LatencyPredictor
from hwnas.reporting.content import (
    ClosingContent,
    DeviceContent,
    FailedContent,
    MeasuredContent,
    MeasuredObjectiveContent,
    ObjectiveContent,
    SearchContent,
)
from hwnas.reporting.units import shown, words
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from hwnas.training.trained import read_supernet_info

_LATENCY = "latency_ms"


def search_content(found: dict[str, Any]) -> SearchContent:
    """The search itself."""
    space = _space(found)
    baseline = found.get("baseline")
    return SearchContent(
        space=space,
        objectives=tuple(ObjectiveContent(**objective) for objective in found["objectives"]),
        archs=np.array(found["archs"], dtype=np.int64).reshape(-1, space.num_layers),
        values=np.array(found["values"], dtype=np.float64).reshape(-1, len(found["objectives"])),
        front=tuple(found["front"]),
        budgets=found["budgets"],
        winner=found["winner"],
        strategy=found["strategy"],
        evaluations=len(found["archs"]),
        seed=found["seed"],
        hypervolume=found["hypervolume"],
        reference_point=tuple(found["reference"]),
        hypervolume_history=np.array(found["hypervolume_history"], dtype=np.float64),
        baseline_history=np.array(baseline["hypervolume_history"], dtype=np.float64) if baseline else None,
        failed=tuple(
            FailedContent(choices=tuple(failed["choices"]), reason=failed["reason"])
            for failed in found.get("failed") or ()
        ),
    )


def device_contents(found: dict[str, Any], others: Sequence[TableOption]) -> tuple[DeviceContent, ...]:
    """The devices that were searched for and then the others, each with the latency of all evaluated archs.

    Raises:
        MissingOpError: a table isn't of the search's space, or an arch can't run on its device.
        BudgetError: a budget isn't a positive number of ms.
    """
    space = _space(found).inheriting() if _stabilizers(found) else _space(found)
    archs = np.array(found["archs"], dtype=np.int64).reshape(-1, space.num_layers)
    values = np.array(found["values"], dtype=np.float64).reshape(len(archs), -1)
    devices = []
    for searched, column in zip(found["tables"], _latency_columns(found), strict=False):
        path = Path(searched["path"])
        device = DeviceContent(
            name=str(path),
            device="",
            latency_ms=values[:, column],
            budget_ms=searched["budget_ms"],
        )
        if path.exists():
            table = LatencyTable.load(path)
            interpolated = len(LatencyPredictor(table, space).interpolated)
            device = replace(device, device=str(table.device), interpolated=interpolated)
        devices.append(device)
    for option in others:
        if option.budget_ms is not None:
            Budget(f"{_LATENCY} {option.path}", option.budget_ms)  # refuses what makes no sense
        predictor = LatencyPredictor(option.table, space)
        devices.append(
            DeviceContent(
                name=str(option.path),
                device=str(option.table.device),
                latency_ms=predictor(archs),
                budget_ms=option.budget_ms,
                interpolated=len(predictor.interpolated),
            )
        )
    return _shortly_named(devices)


def _shortly_named(devices: Sequence[DeviceContent]) -> tuple[DeviceContent, ...]:
    """Devices that are called like their tables' files, by the whole path where two files have one name."""
    stems = Counter(Path(path).stem for path in {device.name for device in devices})
    return tuple(
        replace(device, name=stem) if stems[stem := Path(device.name).stem] == 1 else device for device in devices
    )


def closing_content(found: dict[str, Any]) -> ClosingContent | None:
    """What was measured of the front after the search."""
    closing = found.get("closing")
    if not closing:
        return None
    summaries = {each["objective"]: each for each in closing.get("objectives") or ()}
    names = dict.fromkeys(point["objective"] for point in closing["points"])
    return ClosingContent(
        rounds=closing["rounds"],
        objectives=tuple(_measured_objective(found, name, summaries.get(name, closing)) for name in names),
        unmeasured=len(closing.get("unmeasured") or ()),
        failed=tuple(
            FailedContent(choices=tuple(found["archs"][failed["index"]]), reason=failed["reason"])
            for failed in closing.get("failed") or ()
        ),
    )


def _measured_objective(found: dict[str, Any], name: str, summary: dict[str, Any]) -> MeasuredObjectiveContent:
    points = [point for point in found["closing"]["points"] if point["objective"] == name]
    return MeasuredObjectiveContent(
        name=name,
        device=summary["device"],
        drift=summary.get("drift"),
        table=summary.get("table"),
        error_after=summary.get("error_after"),
        budget_ms=points[0].get("budget_ms"),
        budget_as_searched_ms=summary.get("budget_as_searched_ms"),
        networks=tuple(
            MeasuredContent(
                choices=tuple(found["archs"][point["index"]]),
                label=_label(found, point["index"]),
                predicted_ms=point["predicted_ms"],
                refitted_ms=point.get("refitted_ms"),
                measured_ms=point["measured_ms"],
                measured_p10_ms=point.get("measured_p10_ms"),
                measured_p90_ms=point.get("measured_p90_ms"),
                within=point["within"],
                on_front=point["on_front"],
            )
            for point in points
        ),
    )


def measured_after_search(found: dict[str, Any], arch: Arch) -> dict[str, float] | None:
    """What the arch takes on the first device, if it was measured after the search: ``p50_ms`` and percentiles."""
    for point in (found.get("closing") or {}).get("points", ()):
        if _is_first_latency(found, point["objective"]) and tuple(found["archs"][point["index"]]) == arch.choices:
            percentiles_ms = {f"{p}_ms": point.get(f"measured_{p}_ms") for p in ("p10", "p90")}
            return {"p50_ms": point["measured_ms"], **percentiles_ms}
    return None


def refitted_table(found: dict[str, Any]) -> str | None:
    """The file, in the search folder, of the first device's table as it was refitted after the search."""
    closing = closing_content(found)
    measured = closing.objectives if closing else ()
    return next((each.table for each in measured if _is_first_latency(found, each.name)), None)


def searched_arch(found: dict[str, Any], index: int) -> Arch:
    """An evaluated arch."""
    return Arch(_space(found), tuple(found["archs"][index]))


def _stabilizers(found: dict[str, Any]) -> bool:
    """Whether latencies are of networks with the stabilizers that can't be folded, as its supernet decides."""
    run = Path(found["supernet"])
    return not (run / "supernet.json").exists() or read_supernet_info(run).stabilizers


def _label(found: dict[str, Any], index: int) -> str:
    """What an evaluated arch is known by: the value of what is maximised, else its number."""
    for objective, value in zip(found["objectives"], found["values"][index], strict=True):
        if objective["maximize"]:
            return f"{words(objective['name'])} {shown(value, objective['unit'])}"
    return f"evaluation {index + 1}"


def _latency_columns(found: dict[str, Any]) -> list[int]:
    """Columns of the values that are the latency on each of the search's tables, in their order."""
    return [k for k, objective in enumerate(found["objectives"]) if objective["name"].split(" ")[0] == _LATENCY]


def _is_first_latency(found: dict[str, Any], objective: str) -> bool:
    return [found["objectives"][column]["name"] for column in _latency_columns(found)][:1] == [objective]


def _space(found: dict[str, Any]) -> ChainSpace:
    return get_space(*(found["space"][key] for key in ("source", "resolution", "classes")))
