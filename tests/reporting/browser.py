"""A page in a real browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.reporting.parsed import Page

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A headless window is at least 500 px wide, so the body is what is made narrow.
_NARROW = "<style>body {{ max-width: {width}px !important; }}</style></head>"
_MEASURE = """<script>addEventListener("load", () => {
  document.body.dataset.overhang = document.body.scrollWidth - document.body.clientWidth;
});</script></body>"""

needs_browser = pytest.mark.skipif(_BROWSER is None, reason="no chromium")


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


def overhang_px(page: Page) -> int:
    return next(int(attributes["data-overhang"]) for tag, attributes in page.tags if tag == "body")
