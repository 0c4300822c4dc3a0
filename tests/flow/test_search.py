"""What a search says of its own result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.evaluation.interval import wilson
from hwnas.flow.search import hardly_apart
from hwnas.records.search import SearchedSupernet, SearchRecord
from tests.reporting.samples import search_record


def with_accuracies(*accuracies: float, images: int | None) -> SearchRecord:
    found = search_record("scarlet-tiny", 20)
    values = found.values.copy()
    values[: len(accuracies), 0] = accuracies
    supernet = SearchedSupernet(run=Path("runs/photos"), sha256="0" * 64, images=images)
    return found.model_copy(update={"front": tuple(range(len(accuracies))), "values": values, "supernet": supernet})


def test_a_front_within_the_interval_of_its_best_is_told() -> None:
    low, _ = wilson(0.9, 200)
    remark = hardly_apart(with_accuracies(0.9, low + 1e-6, images=200))
    assert remark
    assert "85.06% to 90.00%, lie within what 200 validation images can tell apart (90.00% ± 4.94)" in remark
    assert hardly_apart(with_accuracies(0.9, low - 1e-6, images=200)) is None
    assert hardly_apart(with_accuracies(0.9, low + 1e-6, images=20_000)) is None


@pytest.mark.parametrize("accuracies", [(), (0.9,)])
def test_one_arch_needs_no_order(accuracies: tuple[float, ...]) -> None:
    assert hardly_apart(with_accuracies(*accuracies, images=200)) is None


def test_nothing_is_told_where_nobody_knows_how_many_images() -> None:
    assert hardly_apart(with_accuracies(0.9, 0.9, images=None)) is None
    found = with_accuracies(0.9, 0.9, images=200)
    assert hardly_apart(found.model_copy(update={"supernet": None})) is None
    assert np.array_equal(found.values[:2, 0], [0.9, 0.9])
