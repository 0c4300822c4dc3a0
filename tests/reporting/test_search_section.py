"""The front's charts, random search beside the search, and how often each choice is taken."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from hwnas.records.search import Baseline, FailedArch
from hwnas.reporting.choices import choices_description, choices_figure, choices_table
from hwnas.reporting.search import search_section
from hwnas.reporting.search_charts import (
    front_columns,
    front_description,
    front_figure,
    gained,
    hypervolume_figure,
)
from tests.reporting.parsed import Page
from tests.reporting.samples import search_record, small_search


def points(figure: go.Figure) -> dict[str, list[tuple[float, float]]]:
    """The dots of each named trace."""
    return {
        trace.name: list(zip(map(float, trace.x), map(float, trace.y), strict=True))
        for trace in figure.data
        if trace.name
    }


def test_dominated_archs_are_told_from_those_over_budget() -> None:
    figure = front_figure(small_search(), 0, 1)
    assert points(figure) == {
        "over budget": [(9.0, 96.0)],
        "dominated": [(2.5, 89.0)],
        "Pareto front": [(1.0, 90.0), (2.0, 92.0), (3.0, 94.0)],
        "winner": [(3.0, 94.0)],
    }
    symbols = [trace.marker.symbol for trace in figure.data if trace.mode == "markers"]
    assert len(set(symbols)) == len(symbols) - 1, "all but the two kinds of dots, which differ in size and line"
    sizes = {trace.name: trace.marker.size for trace in figure.data if trace.mode == "markers"}
    assert sizes["Pareto front"] > sizes["dominated"]


def test_each_evaluated_arch_is_drawn_once_in_a_real_search() -> None:
    search = search_record("scarlet-tiny", 120)
    drawn = points(front_figure(search, 0, 1))
    del drawn["winner"]
    assert sum(map(len, drawn.values())) == 120
    assert set(drawn["over budget"]) == {
        (latency_ms, 100 * accuracy)
        for accuracy, latency_ms in search.values.tolist()
        if latency_ms > search.budgets["latency_ms"]
    }


def test_there_is_a_chart_per_latency_and_per_limited_cost() -> None:
    search = small_search()
    assert front_columns(search) == (0, [1, 2, 3])
    page = Page(search_section(search))
    assert [i for i in page.ids() if "front" in i] == ["chart-front", "chart-front-1", "chart-front-2"]
    for title in (
        "Accuracy against latency on phone",
        "Accuracy against latency on gpu",
        "Accuracy against model size",
    ):
        assert title in page.text
    costs = small_search(objectives=search.objectives[:1] + search.objectives[4:], values=search.values[:, [0, 4]])
    assert front_columns(costs) == (0, [1]), "the first cost where there is neither"


def test_budget_lines_stand_where_the_budget_is() -> None:
    search = small_search()
    lines = {k: [shape.x0 for shape in front_figure(search, 0, k).layout.shapes] for k in (1, 2, 3)}
    assert lines == {1: [5.0, 5.0], 2: [], 3: [6.0, 6.0]}, "shaded from there, and the line"


def test_pointing_at_a_dot_shows_the_arch_and_all_values() -> None:
    figure = front_figure(small_search(), 0, 2)
    (text,) = next(trace.text for trace in figure.data if trace.name == "winner")
    for part in (
        "1,0,1,2,0,1,2,1",
        "94.00",
        "latency on phone 3.00",
        "latency on gpu 0.900",
        "model size 4 MB",
        "3.00",
    ):
        assert part in text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_chart_in_words() -> None:
    text = front_description(small_search(), 0, 1).replace("\N{NO-BREAK SPACE}", " ")
    assert "3 on the front, 1 dominated, 1 over budget" in text
    assert "from 90.00 % at 1.00 ms to 94.00 % at 3.00 ms" in text
    assert "none is on the front" in front_description(small_search(front=(), winner_index=None), 0, 1)


def test_failures_are_counted_and_listed() -> None:
    failed = (FailedArch(choices=(2,) * 8, reason="accuracy is nan"),)
    page = Page(search_section(small_search(failed=failed)))
    assert "5 networks were evaluated; 1 more couldn't be and is left out." in page.text
    assert "macro:2,2,2,2,2,2,2,2" in page.text
    assert "accuracy is nan" in page.text
    assert "couldn't" not in Page(search_section(small_search())).text


@pytest.mark.parametrize(
    ("history", "baseline", "expected"),
    [
        (
            [1, 2, 4, 4],
            [1, 1, 2, 2],
            "reaches random search's final hypervolume after 2 of 4 evaluations and ends with 100",
        ),
        ([2, 2], [1, 1, 2], "after 1 of 2 evaluations and ends with 0.0 % more"),
        ([1, 1], [1, 2, 4], "After 2 evaluations it has 25.00 % of the hypervolume that random search has after 3."),
        ([0, 1], [0, 0], "Random search found nothing within the budgets in 2 evaluations."),
        ([0], [0], "Random search found nothing within the budgets in 1 evaluation."),
    ],
)
def test_what_was_gained_over_random_search(history: list[float], baseline: list[float], expected: str) -> None:
    text = gained(np.array(history, dtype=float), np.array(baseline, dtype=float))
    assert expected in text.replace("\N{NO-BREAK SPACE}", " ")


def test_random_search_is_a_second_line_where_there_is_one() -> None:
    history, baseline = np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0])
    alone, both = hypervolume_figure(history, np.array([])), hypervolume_figure(history, baseline)
    assert [(t.name, t.showlegend) for t in alone.data] == [("this search", False)]
    assert [(t.name, t.line.dash, list(t.y)) for t in both.data] == [
        ("random search", "dash", [1.0, 1.0]),
        ("this search", None, [1.0, 2.0, 4.0]),
    ]
    page = Page(search_section(small_search(baseline=Baseline(evaluations=2, hypervolume_history=(0.01, 0.02)))))
    assert "after 2 of 5 evaluations" in page.text
    assert any("after 2 of 5 evaluations" in label for label in page.labels()), "for those who can't see the chart"
    assert (
        "andom search"
        not in Page(search_section(small_search(baseline=Baseline(evaluations=0, hypervolume_history=())))).text
    )


def test_the_share_of_each_choice_is_that_of_the_front() -> None:
    search = small_search()
    (heat,) = choices_figure(search).data
    assert np.array(heat.z)[:, 0] == pytest.approx([200 / 3, 100 / 3, 0])
    assert np.array(heat.z).sum(axis=0) == pytest.approx([100] * 8)
    assert [row[0] for row in heat.text] == ["67", "33", ""]
    rows = [row.split() for row in str(choices_table(search)).split("<tr>")[2:]]
    assert len(rows) == 3
    assert ">67<" in str(choices_table(search))
    assert "0: downsample or skip 67%; 1: downsample or skip 100%" in choices_description(search)


def test_a_choice_that_a_layer_lacks_is_a_dash() -> None:
    search = search_record("scarlet-s2", 40)
    lacking = int((search.get_space().num_choices < search.get_space().num_choices.max()).sum())
    assert lacking == 6
    assert str(choices_table(search)).count(">–<") == lacking
    z = np.array(choices_figure(search).data[0].z)
    assert z.shape == (13, 19)
    assert int(np.isnan(z).sum()) == lacking


def test_the_winners_choices_are_outlined() -> None:
    search = small_search()
    boxes = choices_figure(search).layout.shapes
    assert [(round((b.x0 + b.x1) / 2), round((b.y0 + b.y1) / 2)) for b in boxes] == list(enumerate(search.archs[2]))
    assert not choices_figure(small_search(winner_index=None)).layout.shapes
