"""``search.json`` and ``settings.json``: written and read to the same, and refused where they make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwnas.errors import ModelError
from hwnas.records.search import SearchRecord
from tests.reporting.samples import measured_front, search_record

FOUND = search_record("scarlet-tiny", 20)


def test_round_trip() -> None:
    found = FOUND.model_copy(update={"measured": measured_front(FOUND)})
    again = SearchRecord.of_plain(found.plain(), "search.json")
    assert again == found
    assert again.archs.dtype == found.archs.dtype
    assert again.winner == found.winner is not None
    assert again.latency_column(0) == 1


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        FOUND.values[0, 0] = 1.0


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_set("schema", to="hwnas-search/1"), "search again"),
        (_set("archs", 0, 0, to="3"), "archs.0.0"),
        (_set("archs", 0, 0, to=-1), "archs.0.0"),
        (_set("archs", 0, to=[1]), "archs"),
        (_set("values", 3, 0, to=float("nan")), "values.3.0"),
        (_set("values", to=[[1.0, 2.0]]), "values"),
        (_set("winner_index", to=20), "no arch 20"),
        (_set("front", to=[99]), "no arch 99"),
        (_set("reference", to=[1.0]), "reference"),
        (_set("budgets", to={"size": 1.0}), "budgets: size is no objective"),
        (_set("objectives", 1, "table", to=1), "1 tables only"),
        (_set("objectives", 1, "quantile", to="p95"), "objectives.1.quantile"),
        (_set("objectives", 1, "name", to="accuracy"), "a name stands twice"),
        (_set("more", to=1), "more"),
    ],
)
def test_a_wrong_record_names_file_and_field(change: Callable[[Any], None], part: str) -> None:
    data = FOUND.plain()
    change(data)
    with pytest.raises(ModelError) as error:
        SearchRecord.of_plain(data, "search.json")
    assert str(error.value).startswith("search.json")
    assert part in str(error.value)
    assert "\n" not in str(error.value)
