"""A page as a picture: what documents show."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from hwnas.errors import OutputError, RuntimeMissingError
from hwnas.files import write_atomic

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """The browser that takes pictures.

    Raises:
        RuntimeMissingError: there is none.
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise RuntimeMissingError(f"a PNG takes a browser, none of {', '.join(_BROWSERS)} is on the PATH; install one")
    return found


def photograph(body: str, width_px: int, height_px: int, path: Path, dots_per_px: int = 1) -> None:
    """What a browser shows of ``body``, HTML with scripts or without, as a PNG at ``path``.

    Raises:
        RuntimeMissingError: there is no browser.
        OutputError: the browser fails, or the file can't be written.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, picture = folder / "page.html", folder / "picture.png"
        source.write_text(f'<!doctype html><meta charset="utf-8">{body}', "utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
            "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", f"--window-size={width_px},{height_px}",
            "--virtual-time-budget=10000", f"--force-device-scale-factor={dots_per_px}", f"--screenshot={picture}",
            source.as_uri(),
        ]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            content = picture.read_bytes()
        except (subprocess.SubprocessError, OSError):
            raise OutputError(f"{browser} couldn't take the picture for {path}; take the page instead") from None
    write_atomic(path, content)
