"""Packages that go wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def crashing(package: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, processes that import ``package`` anew are killed."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
