"""The page in a real browser: charts are drawn, nothing goes wrong, nothing hangs over the edge of a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.reporting.report import render
from hwnas.reporting.views import Report
from tests.reporting.browser import needs_browser, opened, overhang_px
from tests.reporting.samples import CHARTS, evil_report, report

pytestmark = needs_browser


@pytest.mark.parametrize(
    ("content", "width"),
    [(report("scarlet-s2"), 420), (evil_report(), 1280)],
    ids=["s2 on a phone", "markup in labels"],
)
def test_charts_are_drawn_without_complaint(content: Report, width: int, tmp_path: Path) -> None:
    page, console = opened(render(content), tmp_path, width)
    assert console == []
    classes = [(attributes.get("class") or "").split() for _, attributes in page.tags]
    assert sum("js-plotly-plot" in names for names in classes) == len(CHARTS)
    assert sum("main-svg" in names for names in classes) >= len(CHARTS)
    assert not [a for tag, a in page.tags if tag == "img" and not str(a["src"]).startswith("data:image/png;base64,")]
    assert overhang_px(page) == 0


def test_a_complaint_and_an_overhang_would_be_noticed(tmp_path: Path) -> None:
    html = '<!doctype html><head></head><body><script>missing()</script><div style="width: 900px">wide</div></body>'
    page, console = opened(html, tmp_path, 420)
    assert len(console) == 1
    assert overhang_px(page) > 0
