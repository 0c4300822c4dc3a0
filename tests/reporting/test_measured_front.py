"""The measured front: predicted, refitted and measured, and who was over budget."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.records.search import MeasuredFront, MeasuredNetwork, MeasuredObjective, UnmeasurableArch
from hwnas.reporting.measured_front import measured_figure, measured_section
from tests.reporting.parsed import Page
from tests.reporting.samples import measured_objective, point
from tests.reporting.test_search_section import small_search

SEARCH = small_search()


def section(points: tuple[MeasuredNetwork, ...], *objectives: MeasuredObjective, **changes: Any) -> Page:
    plain = {"rounds": 2, "unmeasured": (), "failed": (), "points": points, "objectives": objectives}
    return Page(measured_section(SEARCH, MeasuredFront(**plain | changes)))


def text_of(points: tuple[MeasuredNetwork, ...], **changes: Any) -> str:
    return section(points, measured_objective(**changes)).text


def points_of(budget_ms: float | None, objective: str = "latency_ms") -> tuple[MeasuredNetwork, ...]:
    """One over the budget, if there is one, and one within."""
    more = {"budget_ms": budget_ms, "objective": objective}
    first = {"within": budget_ms is None, "on_front": budget_ms is None, **more}
    return (
        point(1, 8.0, 10.0, refitted_ms=9.0, measured_p10_ms=9.5, measured_p90_ms=12.0, **first),
        point(2, 6.0, 5.0, refitted_ms=5.5, measured_p10_ms=4.5, measured_p90_ms=6.0, **more),
    )  # fmt: skip


def test_errors_before_and_after_refitting() -> None:
    text = text_of(points_of(9.5), error_before=0.2, error_after=0.123)
    assert "2 networks were measured. The mean absolute error of the prediction was 20.00 %" in text
    assert "12.30 % for networks left out of the fit" in text
    assert "1 of them is over budget and no longer on the front." in text


def test_without_a_budget_there_is_no_word_of_it() -> None:
    text = text_of((point(1, 8.0, 10.0),))
    assert "1 network was measured." in text
    assert "budget" not in text.replace("within budget", "")


def test_all_within_is_said() -> None:
    assert "All keep their budget." in text_of((point(1, 8.0, 9.0, budget_ms=9.5),))


@pytest.mark.parametrize(("moved_ms", "said"), [(10.5, True), (9.7, False), (9.0, False), (None, False)])
def test_a_pessimistic_table_asks_for_another_search(moved_ms: float | None, said: bool) -> None:
    """Not where the budget moved by less than the table errs: 9.5 ms and 5 %."""
    text = text_of(points_of(9.5), budget_as_searched_ms=moved_ms, error_after=0.05)
    assert ("networks once predicted at up to 10.5 ms are within the budget" in text) == said
    assert ("search again" in text) == said


def test_a_row_per_network_with_over_budget_ones_told_apart() -> None:
    figure = measured_figure(SEARCH, points_of(9.5))
    dots = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data if trace.name}
    assert dots == {
        "predicted when searched": ([8.0, 6.0], [0, 1]),
        "predicted after refitting": ([9.0, 5.5], [0, 1]),
        "measured": ([5.0], [1]),
        "measured, over budget": ([10.0], [0]),
    }
    symbols = [trace.marker.symbol for trace in figure.data if trace.name]
    assert len(set(symbols)) == 4
    whiskers = {trace.name: trace.error_x for trace in figure.data if trace.name and trace.name.startswith("measured")}
    assert list(whiskers["measured"].arrayminus) == [0.5]
    assert list(whiskers["measured, over budget"].array) == [2.0]
    assert {shape.x0 for shape in figure.layout.shapes} == {9.5}
    assert list(figure.layout.yaxis.ticktext) == [
        "accuracy 92.00\N{NO-BREAK SPACE}%",
        "accuracy 94.00\N{NO-BREAK SPACE}%",
    ]
    low, high = figure.layout.xaxis.range
    assert low < 4.5
    assert high > 12


def test_the_table_is_in_the_order_of_the_measurements_and_says_what_became_of_each() -> None:
    beaten = point(3, 7.0, 7.0, on_front=False, budget_ms=9.5)
    text = text_of((*points_of(9.5), beaten))
    order = [text.index(",".join(map(str, SEARCH.archs[index]))) for index in (2, 3, 1)]
    assert order == sorted(order)
    for part in ("on the front", "within budget, beaten", "over budget, left the front", "20.0 % less", "20.0 % more"):
        assert part in text


def test_what_could_not_be_measured_is_said() -> None:
    failed = (UnmeasurableArch(index=0, reason="no such kernel"),)
    text = section(points_of(None), measured_objective(), unmeasured=(0, 1, 2), failed=failed).text
    assert "3 of the front, which stay as predicted" in text
    assert "1 network was left out, as it couldn't be run" in text
    assert "no such kernel" in text
    assert "no network of the front was measured" in section((), measured_objective()).text


def test_two_devices_have_a_chart_and_their_facts_each() -> None:
    names = ("latency_ms phone", "latency_ms gpu")
    points = tuple(each for name in names for each in points_of(None, name))
    phone = measured_objective(objective=names[0], device="a phone", drift=1.02, table="table-phone.yaml")
    gpu = measured_objective(objective=names[1], device="a GPU", drift=0.99, table="table-gpu.yaml")
    page = section(points, phone, gpu)
    assert page.ids() == ["chart-measured-0", "chart-measured-1"]
    for part in ("a phone", "a GPU", "1.020 ×", "0.990 ×", "table-phone.yaml", "table-gpu.yaml", "latency on gpu"):
        assert part in page.text
