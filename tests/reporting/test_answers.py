"""The section on what a network gets right, for 2 to 1,000 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.evaluation.interval import wilson
from hwnas.records.search import SearchedSupernet
from hwnas.reporting.answers import answers_section, classes_figure, matrix_figure
from hwnas.reporting.search import search_section
from hwnas.reporting.search_charts import front_figure
from hwnas.reporting.units import percent
from tests.reporting.parsed import Page
from tests.reporting.samples import answers, small_search


@pytest.mark.parametrize("classes", [2, 30, 1000])
def test_few_classes_have_a_matrix_and_many_their_most_confused_pairs(classes: int) -> None:
    found = answers(classes)
    page = Page(answers_section(found))
    assert page.ids() == [*(["chart-confusion"] if classes <= 30 else []), "chart-classes"]
    low, high = (
        percent(end).replace("\N{NO-BREAK SPACE}", " ") for end in wilson(found.right / found.images, found.images)
    )
    assert f"Of {found.images:,} test images it answers {found.right:,} right" in page.text
    assert f"which tells {low} to {high} of all such images" in page.text
    assert f"Most often kind 0 is taken for kind {classes - 1}: {4 if classes == 2 else 3} times." in page.text
    assert f"kind 0 kind {classes - 1}" in page.text
    assert "kind 0 40 36 90.00 %" in page.text if classes > 2 else "kind 0 40 35" not in page.text
    assert ("The 20 worst of 1,000 classes" in page.text) == (classes == 1000)
    images = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert images == [f"kind 0, answered kind {classes - 1}", "kind 1, answered kind 1"]


def test_a_network_that_is_never_wrong_has_no_wrong_answers() -> None:
    found = answers(3)
    right = found.model_copy(update={"answers": ((0, 0, 5), (2, 2, 4)), "examples": ()})
    page = Page(answers_section(right))
    assert "100.00 %" in page.text
    assert "confuses" not in page.text
    assert "answers, " not in page.text
    assert "kind 1 0 0 – no images" in page.text


def test_the_matrix_has_every_count_and_what_is_wrong_is_red() -> None:
    matrix = np.array([[3.0, 1.0], [0.0, 4.0]])
    heat = matrix_figure(("cat", "<b>dog</b>"), matrix).data[0]
    assert [list(row) for row in heat.text] == [["3", "1"], ["", "4"]]
    assert heat.z[0][0] == 0.75
    assert heat.z[0][1] == -0.5  # the root of its share
    assert np.isnan(heat.z[1][0])
    assert heat.customdata[0][1] == "cat, taken for &lt;b&gt;dog&lt;/b&gt;: 1 of 4"


def test_accuracies_of_a_search_carry_what_its_images_tell() -> None:
    plain = small_search()
    supernet = SearchedSupernet(run=Path("run"), sha256="", images=200)
    search = plain.model_copy(update={"supernet": supernet})
    front = next(trace for trace in front_figure(search, 0, 1).data if trace.name == "Pareto front")
    low, high = wilson(0.94, 200)
    assert front.y[2] - front.error_y.arrayminus[2] == pytest.approx(100 * low)
    assert front.y[2] + front.error_y.array[2] == pytest.approx(100 * high)
    assert all(trace.error_y.array is None for trace in front_figure(plain, 0, 1).data)
    page = Page(search_section(search, "the front's accuracies lie within chance"))
    assert "The front's accuracies lie within chance. " in page.text
    assert "Bars are 95 % intervals" in page.text
    assert "Bars are" not in Page(search_section(plain)).text


def test_a_class_has_its_interval() -> None:
    dots = classes_figure(["a", "b"], np.array([[3.0, 1.0], [0.0, 4.0]]), np.array([3.0, 4.0])).data[0]
    assert list(dots.x) == [75, 100]
    low, high = wilson(3 / 4, 4)
    assert 75 - dots.error_x.arrayminus[0] == pytest.approx(100 * low)
    assert 75 + dots.error_x.array[0] == pytest.approx(100 * high)
