"""The same front on another device: who stays on the front there, and how alike the order is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.records.search import SearchRecord
from hwnas.reporting.devices import devices_section, front_there
from hwnas.reporting.views import Device
from tests.reporting.parsed import Page
from tests.reporting.samples import small_search


def device(name: str, latency_ms: list[float], budget_ms: float | None = None, **more: object) -> Device:
    return Device(name=name, device=f"the {name}", latency_ms=np.array(latency_ms), budget_ms=budget_ms, **more)


def two_objectives(**changes: object) -> SearchRecord:
    """Accuracy and one latency: 0, 1, 2 and 4 are a front without budgets."""
    search = small_search()
    plain = {
        "objectives": search.objectives[:2], "values": search.values[:, :2], "budgets": {}, "front": (0, 1, 2, 4),
        "winner_index": 4,
    }  # fmt: skip
    return search.model_copy(update=plain | changes)


PHONE = device("phone", [1.0, 2.0, 3.0, 2.5, 9.0])


def text_of(search: SearchRecord, other: Device) -> str:
    html = devices_section(search, (PHONE, other))
    assert html is not None
    return Page(html).text


def test_the_same_order_is_said_to_be_the_same() -> None:
    text = text_of(two_objectives(), device("board", [4.0, 8.0, 12.0, 10.0, 36.0]))
    assert "Kendall's τ 1.00, Spearman's ρ 1.00" in text
    assert "the same one is faster on both devices in 100 % of pairs" in text
    assert "typically takes 4 times as long there" in text
    assert "4 of 4 are on the front there too." in text


def test_the_opposite_order_beats_all_but_the_most_accurate() -> None:
    text = text_of(two_objectives(), device("board", [9.0, 8.0, 7.0, 10.0, 6.0]))
    assert "Kendall's τ -1.00, Spearman's ρ -1.00" in text
    assert "in 0 % of pairs" in text
    assert "1 of 4 are on the front there too, 3 are beaten there by others that were evaluated." in text


def test_a_network_that_is_not_on_the_front_here_may_beat_there() -> None:
    """The dominated one, index 3, is by far the fastest there; more accurate ones stay."""
    board = device("board", [4.0, 8.0, 12.0, 0.1, 36.0])
    assert front_there(two_objectives(), board).tolist() == [0, 1, 2, 3, 4]
    less = dataclasses.replace(board, latency_ms=np.array([4.0, 8.0, 12.0, 3.9, 36.0]))
    better = two_objectives(values=np.array([[0.9, 1], [0.92, 2], [0.94, 3], [0.95, 9.5], [0.96, 9.0]]))
    assert front_there(better, less).tolist() == [3, 4]
    assert "1 of 4 are on the front there too, 3 are beaten there" in text_of(better, less)


def test_a_budget_there_leaves_out_who_is_over_it() -> None:
    board = device("board", [4.0, 8.0, 12.0, 10.0, 36.0], budget_ms=11.0)
    assert front_there(two_objectives(), board).tolist() == [0, 1]
    text = text_of(two_objectives(), board)
    assert "2 of 4 are on the front there too, 2 are over the budget of 11.0 ms." in text
    assert "The best within 11.0 ms there: accuracy 92.00 % at 8.00 ms." in text
    nobody = dataclasses.replace(board, budget_ms=0.5)
    assert "None of the evaluated networks meets the budget there." in text_of(two_objectives(), nobody)


def test_other_budgets_of_the_search_hold_there_too() -> None:
    """Five objectives: the other latencies don't count there, the limit of the model's size does."""
    board = device("board", [1.0, 1.0, 1.0, 1.0, 1.0])
    assert front_there(small_search(), board).tolist() == [0, 1, 2, 4]
    assert front_there(small_search(budgets={"model_mb": 4.2, "latency_ms phone": 0.1}), board).tolist() == [0, 1, 2]


@given(st.data())
def test_the_front_there_is_what_none_dominates(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    tenths = st.lists(st.integers(1, 6), min_size=count, max_size=count)
    accuracy, here_ms, there_ms = (np.array(data.draw(tenths)) / 10 for _ in range(3))
    budget_ms = data.draw(st.none() | st.integers(1, 6).map(lambda n: n / 10))
    search = two_objectives(archs=np.zeros((count, 8), dtype=np.int64), values=np.stack([accuracy, here_ms], axis=1))
    inside = [i for i in range(count) if budget_ms is None or there_ms[i] <= budget_ms]
    expected = [
        i
        for i in inside
        if not any(
            accuracy[j] >= accuracy[i]
            and there_ms[j] <= there_ms[i]
            and (accuracy[j] > accuracy[i] or there_ms[j] < there_ms[i])
            for j in inside
        )
    ]
    board = Device(name="board", device="", latency_ms=there_ms, budget_ms=budget_ms)
    assert front_there(search, board).tolist() == expected


@pytest.mark.parametrize(
    ("count", "said"), [(0, None), (1, "1 op of the space is not in"), (2, "2 ops of the space are")]
)
def test_interpolated_ops_are_counted(count: int, said: str | None) -> None:
    text = text_of(two_objectives(), device("board", [4.0, 8.0, 12.0, 10.0, 36.0], interpolated=count))
    assert "estimated from those that are" in text if said else "estimated" not in text
    assert (said or "") in text


def test_two_networks_are_too_few_to_rank() -> None:
    text = text_of(two_objectives(front=(0, 1), winner_index=None), device("board", [4.0, 8.0, 12.0, 10.0, 36.0]))
    assert "too few, or too alike, to compare their order" in text
    assert "τ" not in text


def test_every_device_has_a_chart_and_a_column() -> None:
    others = (device("board", [4.0, 8.0, 12.0, 10.0, 36.0]), device("watch", [9.0, 8.0, 7.0, 10.0, 6.0]))
    page = Page(devices_section(two_objectives(), (PHONE, *others)) or "")
    assert [i for i in page.ids() if i.startswith("chart")] == ["chart-device-0", "chart-device-1"]
    for part in ("on board", "on watch", "the board", "the watch", "the phone", "36.0 ms", "beaten there"):
        assert part in page.text
    assert all(any(f"Latency on {other.name} against phone" in label for label in page.labels()) for other in others)


def test_nothing_to_compare() -> None:
    assert devices_section(two_objectives(), (PHONE,)) is None
    assert devices_section(two_objectives(), ()) is None
    assert devices_section(two_objectives(front=(), winner_index=None), (PHONE, PHONE)) is None
