"""The search folder that an arch file lies in -> what a network made of it says of where it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from hwnas.errors import HwnasError, ModelError
from hwnas.files import read_json, validated
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.model import OnDevice, Searched
from hwnas.space.arch import Arch
from hwnas.tables.table import LatencyTable
from hwnas.training.trained import TrainedSupernet


@dataclass(frozen=True)
class Origin:
    """What is known of the search that found an arch.

    Attributes:
        made_from: names and SHA-256 of the search and its tables.
        searched: what it asked for and predicted.
    """

    made_from: dict[str, str]
    searched: Searched


class _Table(BaseModel):
    path: Path
    sha256: str
    budget_ms: float | None


class _Objective(BaseModel):
    name: str


class _Point(BaseModel):
    index: int
    objective: str
    measured_ms: float


class _Closing(BaseModel):
    points: list[_Point]


class _Search(BaseModel):  # what of search.json is read here
    supernet_sha256: str
    strategy: str
    seed: int
    tables: list[_Table]
    objectives: list[_Objective]
    archs: list[tuple[int, ...]]
    values: list[list[float]]
    failed: list[object]
    closing: _Closing | None = None


def search_folder(text: str) -> Path | None:
    """Where a file lies that a person named as an arch (``winner.json``, ``front.json:3``); None for other words."""
    file = text if text.endswith(".json") else text.rpartition(":")[0]
    return Path(file).parent if file.endswith(".json") else None


def origin_of(search: Path, arch: Arch, supernet: TrainedSupernet) -> Origin | None:
    """Where an arch comes from.

    Args:
        search: folder that may hold a search.
        arch: that may be of it.
        supernet: whose weights the network inherits.

    Returns:
        None where the folder holds no search, or one of another supernet, or one that didn't evaluate the arch.

    Raises:
        ModelError: ``search.json`` is malformed.
    """
    path = search / "search.json"
    if not path.is_file():
        return None
    found = validated(_Search, read_json(path, ModelError), path, ModelError)
    if found.supernet_sha256 != supernet.sha256 or arch.choices not in found.archs:
        return None
    index = found.archs.index(arch.choices)
    columns = [k for k, objective in enumerate(found.objectives) if objective.name.split(" ")[0] == "latency_ms"]
    made_from = {"search": path.parent.resolve().name, "search_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    devices = []
    for number, (table, column) in enumerate(zip(found.tables, columns, strict=False), start=1):
        key = "table" if number == 1 else f"table_{number}"
        made_from |= {key: table.path.name, f"{key}_sha256": table.sha256}
        name = found.objectives[column].name
        points = found.closing.points if found.closing else []
        measured = [p.measured_ms for p in points if (p.objective, p.index) == (name, index)]
        devices.append(_on_device(table, arch, supernet, found.values[index][column], next(iter(measured), None)))
    searched = Searched(
        strategy=found.strategy, evaluations=len(found.archs) + len(found.failed), seed=found.seed,
        devices=tuple(devices),
    )  # fmt: skip
    return Origin(made_from, searched)


def _on_device(
    table: _Table, arch: Arch, supernet: TrainedSupernet, predicted_ms: float, measured_ms: float | None
) -> OnDevice:
    device = interval = None
    try:
        there = LatencyTable.load(table.path)
    except HwnasError:
        there = None  # moved or gone: its name and hash are known still
    if there and hashlib.sha256(there.to_yaml().encode()).hexdigest() == table.sha256:
        device = str(there.device)
        predictor = LatencyPredictor(there, supernet.supernet.space)
        interval = predictor.interval(arch.choices)
    low_ms, high_ms = (float(end[0]) for end in interval) if interval else (None, None)
    return OnDevice(
        table=table.path.name, device=device, budget_ms=table.budget_ms, predicted_ms=predicted_ms,
        low_ms=low_ms, high_ms=high_ms, measured_ms=measured_ms,
    )  # fmt: skip
