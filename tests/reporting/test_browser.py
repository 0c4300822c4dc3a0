"""The page in a real browser: charts are drawn, nothing goes wrong, nothing hangs over the edge of a phone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hwnas.reporting.content import ReportContent
from hwnas.reporting.html import render
from tests.reporting.parsed import Page
from tests.reporting.samples import report
from tests.reporting.test_page import CHARTS, evil_report

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A headless window is at least 500 px wide, so the body is what is made narrow.
_NARROW = "<style>body {{ max-width: {width}px !important; }}</style></head>"
_MEASURE = """<script>addEventListener("load", () => {
  document.body.dataset.overhang = document.body.scrollWidth - document.body.clientWidth;
});</script></body>"""

pytestmark = pytest.mark.skipif(_BROWSER is None, reason="no chromium")


def opened(html: str, folder: Path, width: int = 1280) -> tuple[Page, list[str]]:
    """The page after its scripts ran, and what the console said."""
    file = folder / "report.html"
    html = html.replace("</head>", _NARROW.format(width=width)).replace("</body>", _MEASURE)
    file.write_text(html, "utf-8")
    command = [
        str(_BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},2000",
        "--enable-logging=stderr",
        "--virtual-time-budget=4000",
        "--dump-dom",
        file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return Page(done.stdout), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize(
    ("content", "width"),
    [(report("scarlet-s2"), 420), (evil_report(), 1280)],
    ids=["s2 on a phone", "markup in labels"],
)
def test_charts_are_drawn_without_complaint(content: ReportContent, width: int, tmp_path: Path) -> None:
    page, console = opened(render(content), tmp_path, width)
    assert console == []
    classes = [(attributes.get("class") or "").split() for _, attributes in page.tags]
    assert sum("js-plotly-plot" in names for names in classes) == len(CHARTS)
    assert sum("main-svg" in names for names in classes) >= len(CHARTS)
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert overhang_px(page) == 0


def overhang_px(page: Page) -> int:
    return next(int(attributes["data-overhang"]) for tag, attributes in page.tags if tag == "body")


def test_a_complaint_and_an_overhang_would_be_noticed(tmp_path: Path) -> None:
    html = '<!doctype html><head></head><body><script>missing()</script><div style="width: 900px">wide</div></body>'
    page, console = opened(html, tmp_path, 420)
    assert len(console) == 1
    assert overhang_px(page) > 0
