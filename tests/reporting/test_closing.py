"""The measured front: predicted, refitted and measured, and who was over budget."""

from __future__ import annotations

import dataclasses

import pytest

from hwnas.reporting.closing import closing_figure, closing_section
from hwnas.reporting.content import ClosingContent, FailedContent, MeasuredContent, MeasuredObjectiveContent
from tests.reporting.parsed import Page


def network(choice: int, predicted_ms: float, measured_ms: float, **changes: object) -> MeasuredContent:
    plain = MeasuredContent(
        choices=(choice,) * 3, label=f"accuracy 9{choice} %", predicted_ms=predicted_ms, refitted_ms=None,
        measured_ms=measured_ms, measured_p10_ms=None, measured_p90_ms=None, within=True, on_front=True,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def objective(*networks: MeasuredContent, **changes: object) -> MeasuredObjectiveContent:
    plain = MeasuredObjectiveContent(
        name="latency_ms", device="a machine", drift=None, table=None, error_after=None, budget_ms=None,
        budget_as_searched_ms=None, networks=networks,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def text_of(*objectives: MeasuredObjectiveContent, **changes: object) -> str:
    closing = dataclasses.replace(ClosingContent(rounds=2, objectives=objectives), **changes)
    return Page(closing_section(closing)).text


REFITTED = (
    network(1, 8.0, 10.0, refitted_ms=9.0, measured_p10_ms=9.5, measured_p90_ms=12.0, within=False, on_front=False),
    network(2, 6.0, 5.0, refitted_ms=5.5, measured_p10_ms=4.5, measured_p90_ms=6.0),
)


def test_errors_before_and_after_refitting() -> None:
    """|8/10 - 1| and |6/5 - 1| are 20 % both, |9/10 - 1| and |5.5/5 - 1| 10 %."""
    text = text_of(objective(*REFITTED, budget_ms=9.5))
    assert "2 networks were measured. The mean absolute error of the prediction was 20.00 %" in text
    assert "refitted on these very networks it is 10.00 %" in text
    assert "1 of them is over budget and no longer on the front." in text


def test_the_error_for_networks_left_out_counts_more_than_the_fitted_one() -> None:
    text = text_of(objective(*REFITTED, error_after=0.123))
    assert "12.30 % for networks left out of the fit" in text
    assert "very networks" not in text


def test_without_refitting_there_is_no_word_of_it() -> None:
    text = text_of(objective(network(1, 8.0, 10.0)))
    assert "1 network was measured. The mean absolute error of the prediction was 20.00 %." in text
    assert "refitted on" not in text
    assert "budget" not in text.replace("within budget", "")


def test_all_within_is_said() -> None:
    assert "All keep their budget." in text_of(objective(network(1, 8.0, 9.0), budget_ms=9.5))


@pytest.mark.parametrize(("moved_ms", "said"), [(10.5, True), (9.7, False), (9.0, False), (None, False)])
def test_a_pessimistic_table_asks_for_another_search(moved_ms: float | None, said: bool) -> None:
    """Not where the budget moved by less than the table errs: 9.5 ms and 5 %."""
    text = text_of(objective(*REFITTED, budget_ms=9.5, budget_as_searched_ms=moved_ms, error_after=0.05))
    assert ("networks once predicted at up to 10.5 ms are within the budget" in text) == said
    assert ("search again" in text) == said


def test_a_row_per_network_with_over_budget_ones_told_apart() -> None:
    figure = closing_figure(objective(*REFITTED, budget_ms=9.5))
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
    assert list(figure.layout.yaxis.ticktext) == ["accuracy 91 %", "accuracy 92 %"]
    low, high = figure.layout.xaxis.range
    assert low < 4.5
    assert high > 12


def test_the_table_is_in_the_order_of_the_measurements_and_says_what_became_of_each() -> None:
    beaten = network(3, 7.0, 7.0, on_front=False)
    text = text_of(objective(*REFITTED, beaten, budget_ms=9.5))
    assert text.index("2,2,2") < text.index("3,3,3") < text.index("1,1,1")
    for part in ("on the front", "within budget, beaten", "over budget, left the front", "20.0 % less", "20.0 % more"):
        assert part in text


def test_what_could_not_be_measured_is_said() -> None:
    failed = (FailedContent(choices=(0, 0, 0), reason="no such kernel"),)
    text = text_of(objective(*REFITTED), unmeasured=3, failed=failed)
    assert "3 of the front, which stay as predicted" in text
    assert "1 network was left out, as it couldn't be run" in text
    assert "no such kernel" in text
    assert "no network of the front was measured" in text_of()


def test_two_devices_have_a_chart_and_their_facts_each() -> None:
    phone = objective(*REFITTED, name="latency_ms phone", device="a phone", drift=1.02, table="table-phone.yaml")
    gpu = objective(*REFITTED, name="latency_ms gpu", device="a GPU", drift=0.99, table="table-gpu.yaml")
    page = Page(closing_section(ClosingContent(rounds=1, objectives=(phone, gpu))))
    assert page.ids() == ["chart-closing-0", "chart-closing-1"]
    for part in ("a phone", "a GPU", "1.020 ×", "0.990 ×", "table-phone.yaml", "table-gpu.yaml", "latency on gpu"):
        assert part in page.text
