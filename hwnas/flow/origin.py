"""The search that found an arch -> what a network made of it says of where it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.flow.open import BudgetedTable, open_budgeted
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.model import OnDevice, Searched
from hwnas.records.search import SearchedTable, SearchRecord
from hwnas.space.arch import Arch
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
    found = SearchRecord.read(path)
    index = found.index_of(arch)
    if found.supernet is None or found.supernet.sha256 != supernet.sha256 or index is None:
        return None
    made_from = {"search": path.parent.resolve().name, "search_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    devices = []
    for number, searched in enumerate(found.tables):
        key = f"table_{number + 1}" if number else "table"
        made_from |= {key: _file(searched), f"{key}_sha256": searched.sha256}
        devices.append(_on_device(found, number, index, arch))
    searched_as = Searched(
        strategy=found.strategy, evaluations=found.evaluations, seed=found.seed, devices=tuple(devices)
    )
    return Origin(made_from, searched_as)


def table_of(searched: SearchedTable) -> BudgetedTable | None:
    """The table that was searched with; None where it was moved, or isn't the same any more."""
    if searched.path is None:
        return None
    try:
        (there,) = open_budgeted([(searched.path, searched.budget_ms)])
    except HwnasError:
        return None
    return there if there.sha256 == searched.sha256 else None


def _on_device(found: SearchRecord, number: int, index: int, arch: Arch) -> OnDevice:
    searched, column = found.tables[number], found.latency_column(number)
    assert column is not None  # each table predicts a median
    name = found.objectives[column].name
    points = found.measured.points_of(name) if found.measured else ()
    low_ms = high_ms = None
    if there := table_of(searched):
        interval = LatencyPredictor(there.table, found.get_space()).interval(arch.choices)
        low_ms, high_ms = (float(end[0]) for end in interval) if interval else (None, None)
    return OnDevice(
        table=_file(searched), device=searched.device, budget_ms=searched.budget_ms,
        predicted_ms=float(found.values[index, column]), low_ms=low_ms, high_ms=high_ms,
        measured_ms=next((point.measured_ms for point in points if point.index == index), None),
    )  # fmt: skip


def _file(searched: SearchedTable) -> str:
    return searched.path.name if searched.path else searched.name
